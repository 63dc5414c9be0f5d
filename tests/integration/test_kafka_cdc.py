"""Topics of change events on a real broker: dead letters in a topic, orders without MySQL, streams and topics at once, keys of other columns."""
import json, os, re
from cache_functions import HOUR, Cache, row
from change_events import ITEMS, debezium
from kafka import QUICK, settings, the_kafka
from support import TOP, Redis, app_keys, equal, limit, stays, text_of, wait_for

TYPES = {"id": "BIGINT", "code": "VARCHAR(20)"}


def event(key, partition=0, **more):
    image = {"id": key, "code": None, **more}
    return (partition, {"id": key}, debezium("items", "u", image, image))


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


@limit(120)
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


def board(kafka, topic, partitions=1):
    """What the group knows, but for the hash of the last record."""
    return {partition: (offset, metadata.split(" ")[0]) for partition, (offset, metadata) in kafka.committed(topic, partitions).items()}


def test_a_log_whose_end_was_replaced_while_nobody_read_it_halts_its_lane(t):
    kafka, topic = homes(t)
    process, told = start(t, topic)
    fill(t, range(6))
    kafka.send(topic, [event(number) for number in range(3)])
    wait_for("the board, with a hash", lambda: re.fullmatch(r"done=2 [0-9a-f]{16}", kafka.committed(topic)[0][1]))
    process.stop()
    process.start()
    kafka.send(topic, [event(3)])
    wait_for("it goes on", lambda: cached(t, range(6)) == [4, 5] and board(kafka, topic) == {0: (4, "done=3")})
    process.stop()
    # as if what was read there last had been another record than the one that the log holds now
    other = "done=3 0123456789abcdef"
    kafka.tool("commit", "sluice-default", topic, 0, 4, other)
    fill(t, range(6))
    kafka.send(topic, [event(4)])
    process.start()
    line = process.logged("event=lane_halted", "why=rollback")
    assert "the lane is at 3: some of its last records were replaced" in line, line
    equal(cached(t, range(6)), [0, 1, 2, 3, 4, 5])
    equal(t.command("lane", "resume", told, f"{topic}/0", "--start", "1")[0], 0)
    wait_for("what is behind it", lambda: cached(t, range(6)) == [0, 1, 5] and board(kafka, topic) == {0: (5, "done=4")})
    process.stop()
    process.start()
    kafka.send(topic, [event(5)])
    wait_for("it stays so", lambda: cached(t, range(6)) == [0, 1])


# --- orders

def test_orders_of_lanes_that_only_invalidate_need_no_mysql(t):
    kafka, topic = homes(t)
    process, told = start(t, topic, poison_rate=3, entry_max="64KiB")
    lane = f"default/kafka/{topic}/"
    fill(t, (7, 8, 9))
    kafka.send(topic, [poison(number) for number in range(6)] + [event(7)])
    kafka.send(topic, [event(8, 1), event(1, 1, text="x" * 100_000), event(9, 1)])
    wait_for("both halt", lambda: {one["name"]: one["why"] for one in process.status()["lanes"]} == {lane + "0": "poison_rate", lane + "1": "entry_too_large"})
    wait_for("the group's offset", lambda: kafka.committed(topic, 2)[1][0] == 1)
    code, out, err = t.command("lane", "list", told)
    assert code == 0 and re.search(rf"{lane}1 +1 +0 +3 +2", out), (out, err)
    equal(t.command("lane", "resume", told, f"{topic}/7")[0], 1)
    equal(t.command("lane", "resume", told, f"{topic}/0")[0], 0)
    wait_for("its letters, and what is behind them", lambda: len(letters(t, told)) == 6 and cached(t, (7, 8, 9)) == [9])
    equal(t.command("lane", "skip", told, lane + "1", "1")[0], 0)
    wait_for("what is behind it", lambda: cached(t, (9,)) == [])
    wait_for("progress", lambda: board(kafka, topic, 2) == {0: (7, "done=6"), 1: (3, "done=2")})
    process.stop()
    fill(t, (8, 9))
    process.start()
    process.logged("event=lane_owned", lane + "1")
    stays("an order is obeyed once", lambda: cached(t, (8, 9)) == [8, 9], 1.5)


def test_the_readme_s_kafka_command_moves_a_partition_that_only_invalidates(t):
    kafka, topic = homes(t)
    process, _ = start(t, topic)
    kafka.send(topic, [event(number) for number in range(4)])
    wait_for("progress", lambda: kafka.committed(topic)[0][0] == 4)
    process.stop()
    fill(t, range(4))
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
        command = re.search(r"`kafka-consumer-groups.sh --bootstrap-server HOST:9092 (--group[^`]*)`", readme.read())[1]
    words = command.replace("POOL", "default").replace("TOPIC", topic).replace("OFFSET", "2").split()
    done = kafka.consumer_groups(*words)
    equal((done.returncode, kafka.committed(topic)[0][0]), (0, 2), done.stdout + done.stderr)
    process.start()
    wait_for("what is behind it, and nothing before", lambda: cached(t, range(4)) == [0, 1])


# --- streams and topics at once

BOTH = """CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20), ver BIGINT UNSIGNED) CHARACTER SET utf8mb4"""


def echo(before, after):
    op = "c" if before is None else "u"
    return (0, {"id": (after or before)["id"]}, debezium("users", op, before, after))


def test_writes_and_their_events_of_one_table_meet_in_one_process(t):
    """An application write is one row write; its echo does no harm; an UPDATE of somebody else always invalidates."""
    t.sql(BOTH), t.sql(ITEMS), t.sql("CREATE TABLE writes (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT)")
    for what in "INSERT", "UPDATE":
        t.sql(f"CREATE TRIGGER on_{what} AFTER {what} ON users FOR EACH ROW INSERT INTO writes (id) VALUES (NEW.id)")
    t.mysql.grant(t.db, "writes")
    kafka = the_kafka(t)
    told, written = kafka.create(topic_of(t)[-50:] + ".users"), kafka.create(topic_of(t)[-50:] + ".items")
    server = Redis(t.dir).up()
    t.own.append(server)
    stream = t.prefix + ":users:{0..1}"
    process = t.sluice(workers=2, cache={"url": server.url}, kafka={"brokers": kafka.brokers, "settings": QUICK}, sources=[
        {"streams": stream, "table": "users"}, {"topics": told, "format": "debezium", "write": False, "tables": ["users"]},
        {"topics": written, "format": "debezium", "tables": ["items"]}], tables={"users": {"version": "ver", "invalidate": [
            "user:{id}", {"key": "card:{id}", "mode": "versioned"}]}, "items": {"invalidate": ["item:{id}"]}})
    cache, client = Cache(server.client()), server.client()
    writes = lambda: t.row("SELECT COUNT(*) FROM writes")[0]
    equal(len({lane["worker"] for lane in wait_for("all lanes", lambda: taken(process, 4))}), 4)
    rows = [{"id": 1, "name": name, "ver": ver} for ver, name in enumerate("abcd", 1)]
    client.set("user:1", "old")
    t.user(1, _version=1, name="a")
    wait_for("written and invalidated", lambda: writes() == 1 and not client.exists("user:1"))
    client.set("user:1", "new"), cache.filled("card:1", 1, "card a")
    kafka.send(told, [echo(None, rows[0])])
    wait_for("the echo", lambda: not client.exists("user:1"))
    equal((writes(), cache.get("card:1")[:2]), (1, ["HIT", "card a"]))
    # the next version and its echo, the echo first to be told
    client.set("user:1", "old")
    kafka.send(told, [echo(rows[0], rows[1])])
    wait_for("the event", lambda: not client.exists("user:1"))
    token, floor = cache.load("card:1")
    equal((floor, cache.fill("card:1", token, 1, "card a", HOUR)), (row(2), "OLD"))
    t.user(1, _version=2, name="b")
    wait_for("written", lambda: t.row("SELECT name, ver FROM users") == ("b", 2))
    equal(writes(), 2)
    wait_for("answered", lambda: t.redis.xinfo_groups(t.stream(1))[0]["lag"] == 0)
    wait_for("a fill of the new row", lambda: fills(cache, "card:1", 2, "card b"))
    # somebody else writes, and forgets the version
    t.sql("UPDATE users SET name = 'x' WHERE id = 1")
    client.set("user:1", "b")
    kafka.send(told, [echo(rows[1], {**rows[1], "name": "x"})])
    wait_for("invalidated", lambda: not client.exists("user:1"))
    wait_for("in the unversioned form", lambda: cache.get("card:1")[0] != "HIT")
    # the third kind goes on beside them
    client.set("item:1", "old")
    kafka.send(written, [event(1, n=7)])
    wait_for("an item", lambda: t.sql("SELECT id, n FROM items") == ((1, 7),) and not client.exists("item:1"))
    equal((writes(), t.dead(), t.redis.xlen("sluice:default:dead")), (3, (), 0))


def taken(process, count):
    lanes = process.status()["lanes"]
    return lanes if [lane["state"] for lane in lanes] == ["open"] * count else None


def fills(cache, name, version, payload):
    """When what it was invalidated by lets it be filled."""
    answer = cache.get(name)
    return answer[0] == "HIT" or (answer[0] == "LOAD" and cache.fill(name, answer[1], version, payload, HOUR) == "OK")


# --- keys of other columns, and whole tables

TEAMS = "CREATE TABLE members (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20), team VARCHAR(20) DEFAULT 'none') CHARACTER SET utf8mb4"


def members(t, kafka, topic, fmt, server, **source):
    """Written from a topic, with keys of a column that no entry need have."""
    config = settings(t, kafka, topic, fmt=fmt, tables=["members"], source=source, cache={"url": server.url})
    config["tables"] = {"users": None, "members": {"invalidate": ["team:{team}", {"key": "name:{id}", "when": ["name"]}]}}
    return t.sluice(**config)


def done(t, topic):
    return [text_of(row["done"]) for row in t.own_table("sluice_ledger") if topic in text_of(row["lane"])]


def test_keys_that_only_mysql_knows_go_after_a_crash_by_the_outbox(t):
    t.sql(TEAMS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    server = Redis(t.dir).up()
    t.own.append(server)
    process = members(t, kafka, topic, "json", server, table="members")
    send = lambda **fields: kafka.send(topic, [(0, None, {"id": 1, **fields})])
    send(team="red", name="a")
    wait_for("done", lambda: done(t, topic) == ["0"])
    fill_keys(server, "team:red", "team:none", "name:1")
    send(team="red", name="a")
    wait_for("done", lambda: done(t, topic) == ["1"])
    equal(left(server), ["name:1", "team:none"], "the column of the key is named, and nothing of `when` changed")
    server.kill()
    send(team="blue")
    wait_for("the commit", lambda: t.row("SELECT team FROM members") == ("blue",))
    process.kill()
    rows = t.own_table("sluice_outbox")
    assert b"team:red" in rows[0]["cache_keys"] and b"team:blue" in rows[0]["cache_keys"] and text_of(rows[0]["position"]) == "2", rows
    server.up()
    fill_keys(server, "team:red", "team:blue", "team:green", "name:1")
    process.start()
    wait_for("done", lambda: done(t, topic) == ["2"])
    equal(left(server), ["name:1", "team:green"])
    wait_for("an outbox without rows", lambda: not t.own_table("sluice_outbox"))


def test_a_topic_is_read_again_from_where_the_cache_went_back_to(t):
    t.users()
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    server = Redis(t.dir).up()
    t.own.append(server)
    cache, noted = server.client(), "sluice:default:answered"
    config = settings(t, kafka, topic, fmt="json", tables=["users"], source={"table": "users"}, cache={"url": server.url})
    config["tables"] = {"users": {"invalidate": ["user:{id}"]}}
    process = t.sluice(**config)
    send = lambda count, name: kafka.send(topic, [(0, None, {"id": n, "name": name}) for n in range(count)])
    send(1, "first")
    wait_for("the first", lambda: done(t, topic) == ["0"])
    old = cache.dump(noted)
    send(50, "new")
    wait_for("all", lambda: done(t, topic) == ["50"])
    fill_keys(server, *[f"user:{n}" for n in range(50)], "user:never")
    cache.restore(noted, 0, old, replace=True)
    wait_for("no stale key", lambda: app_keys(cache) == ["user:never"])
    equal(len(process.events("cache_went_back")), 1)
    wait_for("noted anew", lambda: cache.hvals(noted) == [b"50"])
    equal((t.row("SELECT COUNT(*) FROM users WHERE name = 'new'"), done(t, topic)), ((50,), ["50"]))


def test_keys_come_from_both_images_of_an_event_and_when_compares_them(t):
    t.sql(TEAMS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    server = Redis(t.dir).up()
    t.own.append(server)
    members(t, kafka, topic, "debezium", server)
    old = {"id": 1, "name": "a", "team": "red"}
    change = lambda op, before, after: kafka.send(topic, [(0, {"id": 1}, debezium("members", op, before, after))])
    change("c", None, old)
    wait_for("done", lambda: done(t, topic) == ["0"])
    fill_keys(server, "team:red", "team:blue", "team:none", "name:1")
    change("u", old, {**old, "team": "blue"})
    wait_for("done", lambda: done(t, topic) == ["1"])
    equal(left(server), ["name:1", "team:none"])
    equal((t.own_table("sluice_outbox"), t.row("SELECT team FROM members")), ((), ("blue",)))
    change("u", {**old, "team": "blue"}, {**old, "name": "b", "team": "blue"})
    wait_for("done", lambda: done(t, topic) == ["2"])
    equal(left(server), ["team:none"])


def fill_keys(server, *keys):
    server.client().mset({name: "old" for name in keys})


def left(server):
    return app_keys(server.client())


def test_a_truncated_table_is_emptied_where_its_topic_has_one_partition(t):
    t.sql(ITEMS), t.sql(TEAMS)
    kafka = the_kafka(t)
    one, two = kafka.create(topic_of(t)[-50:] + ".items"), kafka.create(topic_of(t)[-50:] + ".members", 2)
    config = settings(t, kafka, one)
    config["sources"] = [{"topics": topic, "format": "debezium", "truncate": "allow", "tables": [table]} for topic, table in ((one, "items"), (two, "members"))]
    config["tables"] = {"users": None, "items": {}, "members": {}}
    t.sluice(**config)
    truncate = lambda table: (0, None, json.dumps({"op": "t", "source": {"db": "shop", "table": table}}))
    kafka.send(one, [event(1, n=1), event(2, n=2), truncate("items"), event(2, n=22)])
    kafka.send(two, [(0, {"id": 1}, debezium("members", "c", None, {"id": 1, "name": "a", "team": "b"})), truncate("members")])
    wait_for("emptied in its place", lambda: t.sql("SELECT id, n FROM items") == ((2, 22),))
    wait_for("a letter", lambda: t.reasons() == ["truncate"])
    assert "2 lanes" in t.dead()[0]["message"], t.dead()
    equal(t.row("SELECT COUNT(*) FROM members"), (1,))
    # with another partition its order is gone
    kafka.tool("grow", one, 2)
    t.sluices[-1].logged("event=lane_alarm", "why=partitions", seconds=40)
    kafka.send(one, [truncate("items")])
    wait_for("another letter", lambda: t.reasons() == ["truncate"] * 2)
    equal(t.sql("SELECT id, n FROM items"), ((2, 22),))


# whichever is first starts the broker, which takes its time on a machine that is busy
for _name, _test in list(globals().items()):
    if _name.startswith("test_"):
        limit(120)(_test)
