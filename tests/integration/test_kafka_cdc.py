"""Topics of change events on a real broker: dead letters in a topic, orders without MySQL, streams and topics at once, keys of other columns."""
import json, re
from change_events import debezium
from kafka import settings, the_kafka
from support import equal, limit, stays, wait_for

TYPES = {"id": "BIGINT", "code": "VARCHAR(20)"}


def event(key, partition=0, **more):
    row = {"id": key, "code": None, **more}
    return (partition, {"id": key}, debezium("items", "u", row, row))


def poison(key, partition=0):
    """Whose code may be base64 or a text where nobody tells its type."""
    return event(key, partition, code="abcd")


def topic_of(t):
    return t.name.replace("_", "-")[-60:]


def key(t, number):
    return f"{t.prefix}:item:{number}"


def config_of(t, topics, types=None, **more):
    config = settings(t, the_kafka(t), topics, source={"write": False}, cache={"url": t.redis_server.url},
                      dead_letters={"topic": topic_of(t) + ".dead"}, **more)
    config["mysql"] = None
    config["tables"] = {"users": None, "items": {"key": ["id"], "invalidate": [t.prefix + ":item:{id}", t.prefix + ":code:{code}"], **({"types": types} if types else {})}}
    return config


def start(t, topics, **more):
    """A process that keeps letters, and the configuration that can make keys of them."""
    told = t.write_config(**config_of(t, topics, TYPES, **more))
    return t.sluice(**config_of(t, topics, {"id": "BIGINT"}, **more)), told


def cached(t, numbers):
    return [number for number in numbers if t.redis.exists(key(t, number))]


def fill(t, numbers):
    for number in numbers:
        t.redis.set(key(t, number), "cached")


def letters(t, config, *words):
    code, out, err = t.command("dead", "list", config, "--json", *words)
    assert code in (0, 1), out + err
    return [json.loads(line) for line in out.splitlines()]


def homes(t, partitions=1, *properties):
    """The topic of events and the one of letters."""
    kafka = the_kafka(t)
    kafka.create(topic_of(t) + ".dead", partitions, *(properties or ["cleanup.policy=compact"]))
    return kafka, kafka.create(topic_of(t), 2)


def test_letters_in_a_topic_are_listed_shown_invalidated_and_dropped(t):
    kafka, topic = homes(t, 3)
    process, told = start(t, topic)
    fill(t, range(1, 7))
    kafka.send(topic, [poison(number, number % 2) for number in range(1, 6)] + [event(6)] + [(0, {"id": 9}, r"\x00ff01", {"origin": "x"})])
    wait_for("it goes on", lambda: cached(t, range(1, 7)) == [1, 2, 3, 4, 5])
    wait_for("progress", lambda: {offset for offset, _ in kafka.committed(topic, 2).values()} == {3, 4})
    wait_for("their size", lambda: process.status()["totals"]["dead_stream_entries"] == 6)
    kept = {(letter["lane"][-1], letter["entry"]): letter for letter in letters(t, told)}
    raw, first = kept["0", "3"], kept["1", "0"]  # that is of key 1
    equal((len(kept), raw["reason"], raw["lane"]), (6, "wrong_format", f"default/kafka/{topic}/0"))
    assert first["id"].startswith("t") and (first["reason"], first["table"], first["state"]) == ("bad_value", "items", "dead"), first
    code, out, _ = t.command("dead", "show", told, raw["id"], "--json")
    equal((code, json.loads(out)["payload"]), (0, [["key", '{"id": 9}'], ["value", {"base64": "AP8B"}], ["header:origin", "x"]]))
    code, out, err = t.command("dead", "replay", told, "--id", first["id"])
    assert code == 0 and "1 invalidated" in out and cached(t, range(1, 6)) == [2, 3, 4, 5], (code, out, err)
    equal(t.command("dead", "show", told, first["id"])[0], 1)
    # refused again: they stay
    code, out, err = t.command("dead", "replay", process.argv[-1], "--lane", f"{topic}/1")
    assert code == 1 and err.count("stays") == 2, (code, out, err)
    code, out, _ = t.command("dead", "replay", told, "--lane", f"default/kafka/{topic}/1")
    assert code == 0 and "2 invalidated" in out and cached(t, range(1, 6)) == [2, 4], out
    code, out, _ = t.command("dead", "drop", told, "--reason", "bad_value")
    assert code == 0 and "2 dropped" in out, out
    equal([letter["id"] for letter in letters(t, told)], [raw["id"]])


def test_a_letter_read_again_after_a_crash_is_one_letter(t):
    kafka, topic = homes(t)
    process, told = start(t, topic)
    kafka.send(topic, [poison(number) for number in range(5)])
    wait_for("progress", lambda: kafka.committed(topic)[0][0] == 5)
    before = letters(t, told)
    process.stop()
    # as if it had not come to store the offset
    kafka.tool("commit", "sluice-default", topic, 0, 0)
    process.start()
    wait_for("progress again", lambda: kafka.committed(topic)[0][0] == 5)
    after = letters(t, told)
    equal([letter["entry"] for letter in after], [letter["entry"] for letter in before])
    assert after[0]["id"] != before[0]["id"], (before[0], after[0])


def test_no_offset_is_stored_before_its_letter_is_acknowledged(t):
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    process, told = start(t, topic, kafka={"timeout": "1s"})
    fill(t, [1])
    kafka.send(topic, [event(1)])
    wait_for("it runs", lambda: cached(t, [1]) == [] and kafka.committed(topic)[0][0] == 1)
    fill(t, [3])
    kafka.send(topic, [poison(2), event(3)])
    line = process.logged("event=store_retry", topic + ".dead")
    assert "dead letters: kafka: topic" in line, line
    code, _, err = t.command("check", told, "--connect")
    assert code == 78 and "kafka-topics.sh" in err, err
    equal((cached(t, [3]), kafka.committed(topic)[0][0]), ([3], 1))
    kafka.create(topic + ".dead", 1, "cleanup.policy=compact")
    wait_for("it goes on", lambda: cached(t, [3]) == [] and kafka.committed(topic)[0][0] == 3)
    equal([letter["entry"] for letter in letters(t, told)], ["1"])


def test_a_letter_larger_than_a_record_is_whole(t):
    kafka, topic = homes(t)
    process, told = start(t, topic)
    text = "\"x" * 700_000
    fill(t, [1, 2])
    kafka.send(topic, [event(1, code="abcd", text=text), poison(2)])
    wait_for("both", lambda: len(letters(t, told)) == 2)
    large = letters(t, told)[0]
    code, out, _ = t.command("dead", "show", told, large["id"], "--json")
    equal(code, 0)
    equal(json.loads(json.loads(out)["payload"][1][1])["after"]["text"], text)
    wait_for("progress", lambda: kafka.committed(topic)[0][0] == 2)
    equal(t.command("dead", "replay", told, "--id", large["id"])[0], 0)
    equal((cached(t, [1, 2]), len(letters(t, told))), ([2], 1))


def test_check_tells_of_a_topic_that_forgets_letters(t):
    kafka, topic = homes(t, 1, "cleanup.policy=delete", "retention.ms=3600000", "max.message.bytes=5000")
    told = t.write_config(**config_of(t, topic, TYPES))
    # what the configuration says can be read back
    code, printed, err = t.command("config", told)
    equal((code, err), (0, ""))
    code, _, err = t.command("check", t.write_text(printed, "printed.yaml"), "--connect")
    assert code == 78 and "retention.ms=3600000 deletes letters by their age" in err and "max.message.bytes=5000" in err, err


# --- orders

def test_orders_of_lanes_that_only_invalidate_need_no_mysql(t):
    kafka, topic = homes(t)
    process, told = start(t, topic, poison_rate=3, entry_max="64KiB")
    lane = f"default/kafka/{topic}/"
    fill(t, (7, 8, 9))
    kafka.send(topic, [poison(number) for number in range(6)] + [event(7)])
    kafka.send(topic, [event(8, 1), event(1, 1, text="x" * 100_000), event(9, 1)])
    wait_for("both halt", lambda: {one["name"]: one["why"] for one in process.status()["lanes"]} == {lane + "0": "poison_rate", lane + "1": "entry_too_large"})
    code, out, err = t.command("lane", "list", told)
    assert code == 0 and re.search(rf"{lane}1 +1 +0 +3 +2", out), (out, err)
    equal(t.command("lane", "resume", told, f"{topic}/7")[0], 1)
    equal(t.command("lane", "resume", told, f"{topic}/0")[0], 0)
    wait_for("its letters, and what is behind them", lambda: len(letters(t, told)) == 6 and cached(t, (7, 8, 9)) == [9])
    equal(t.command("lane", "skip", told, lane + "1", "1")[0], 0)
    wait_for("what is behind it", lambda: cached(t, (9,)) == [])
    wait_for("progress", lambda: kafka.committed(topic, 2) == {0: (7, "done=6"), 1: (3, "done=2")})
    process.stop()
    fill(t, (8, 9))
    process.start()
    process.logged("event=lane_owned", lane + "1")
    stays("an order is obeyed once", lambda: cached(t, (8, 9)) == [8, 9], 1.5)


# whichever is first starts the broker, which takes its time on a machine that is busy
for _name, _test in list(globals().items()):
    if _name.startswith("test_"):
        limit(120)(_test)
