"""Kafka topics into MySQL, on a real broker."""
import json, re, signal, threading, time
from change_events import ITEMS, debezium
from kafka import settings, the_kafka
from support import PASSWORD, equal, limit, stays, text_of, wait_for

COUNTERS = "CREATE TABLE counters (id BIGINT UNSIGNED PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0)"


def event(key, n, op="c", partition=0, headers=None, **more):
    row = {"id": key, "name": f"name {key}", "code": None, "n": n, **more}
    return (partition, {"id": key}, debezium("items", op, None if op == "c" else row, None if op == "d" else row), headers or {})


def incr(key, partition=0):
    return (partition, None, {"_op": "incr", "id": key, "n": 1})


def topic_of(t):
    return t.name.replace("_", "-")


def start(t, topics, **more):
    return t.sluice(**settings(t, the_kafka(t), topics, **more))


def count(t, topics, source=None, **more):
    """A sluice that counts."""
    return start(t, topics, fmt="json", tables=["counters"], source={"table": "counters", **(source or {})}, **more)


def ledger(t):
    return {text_of(row["lane"]).split("/", 2)[2]: {name: text_of(row[name]) for name in row} for row in t.own_table("sluice_ledger")}


def items(t):
    return t.sql("SELECT id, n FROM items ORDER BY id")


def counted(t):
    return int(t.row("SELECT COALESCE(SUM(n), 0) FROM counters")[0])


def alarm(process, name):
    return wait_for("an alarm", lambda: [lane["alarm"] for lane in process.status()["lanes"] if lane["alarm"] == name])


# --- what is written

def test_events_of_a_topic_are_written(t):
    t.sql(ITEMS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [event(1, 10), event(2, 20), event(1, 11, "u"), event(2, 20, "d"), (0, {"id": 2}, None)])
    process = start(t, topic)
    wait_for("the rows", lambda: items(t) == ((1, 11),))
    wait_for("done", lambda: (ledger(t)[topic + "/0"]["position"], ledger(t)[topic + "/0"]["done"]) == ("4", "4"))
    wait_for("the notice board", lambda: kafka.committed(topic)[0] == (5, "done=4"))
    wait_for("no lag", lambda: process.status()["lanes"][0]["lag"] == 0)
    equal(process.metric("sluice_events_passed_total", kind="tombstone"), 1)
    equal(process.status()["breakers"].keys(), {"mysql", "cache", "kafka"})
    equal(process.get("/healthz")[0], 200)


def test_a_changed_key_is_known_by_its_headers(t):
    t.sql(ITEMS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [event(1, 10), event(1, 10, "d", headers={"__debezium.newkey": '{"id":2}'}), (0, {"id": 1}, None),
                       event(2, 10, headers={"__debezium.oldkey": '{"id":1}'})])
    start(t, topic)
    wait_for("the row moved", lambda: items(t) == ((2, 10),))
    equal(t.dead(), ())


def test_a_pattern_takes_topics_that_come_later(t):
    t.sql(ITEMS)
    kafka = the_kafka(t)
    process = start(t, f"^{topic_of(t)}\\.(a|b)$")
    process.logged("event=http_listening")
    for number, name in enumerate("abc"):
        kafka.send(kafka.create(f"{topic_of(t)}.{name}", 2), [event(number, number, partition=1)])
    wait_for("the rows", lambda: items(t) == ((0, 0), (1, 1)), 30)
    equal(len(ledger(t)), 4)


def test_poison_and_what_is_no_json_become_letters_with_their_place(t):
    t.sql(ITEMS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [event(1, 1), event(2, "many"), (0, r"\x0000000001", r"\x00000000010a"), event(3, 3)])
    process = start(t, topic)
    wait_for("the rows", lambda: items(t) == ((1, 1), (3, 3)))
    wait_for("the letters", lambda: t.reasons() == ["bad_value", "wrong_format"])
    line = process.logged("event=dead_letter", "reason=wrong_format")
    assert f"lane=default/kafka/{topic}/0 entry=2 " in line and "Avro" in line and "JsonConverter" in line, line
    code, shown, _ = t.command("dead", "list", process.config)
    equal((code, shown.count(f"{topic}/0")), (0, 2))


def test_a_large_message_and_the_one_behind_it(t):
    t.sql("CREATE TABLE texts (id BIGINT PRIMARY KEY, body LONGTEXT)")
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    body = "x" * 1_200_000
    kafka.send(topic, [(0, None, {"id": 1, "body": body}), (0, None, {"id": 2, "body": "small"})])
    start(t, topic, fmt="json", tables=["texts"], source={"table": "texts"})
    wait_for("both", lambda: t.sql("SELECT id, LENGTH(body) FROM texts ORDER BY id") == ((1, len(body)), (2, 5)))


def test_a_message_over_entry_max_halts_its_lane_and_is_skipped_by_order(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    kafka.send(topic, [incr(1), (0, None, {"_op": "incr", "id": 1, "n": 1, "x": "y" * 100_000}), incr(1), incr(2, 1)])
    process = count(t, topic, entry_max="64KiB")
    wait_for("what stands before it", lambda: counted(t) == 2)
    process.logged("event=lane_halted", "why=entry_too_large", "entry=1")
    equal(t.command("lane", "skip", process.config, f"default/kafka/{topic}/0", "1")[0], 0)
    wait_for("what stands behind it", lambda: counted(t) == 3)


# --- transactions, ends and beginnings

def test_what_was_rolled_back_is_not_read_and_leaves_no_alarm(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [incr(1), incr(2), "COMMIT", incr(3), incr(4), "ABORT", incr(5), "COMMIT", incr(6), "ABORT"], "transactional.id=tx")
    process = count(t, topic)
    wait_for("the rows", lambda: t.sql("SELECT id FROM counters ORDER BY id") == ((1,), (2,), (5,)))
    # 0 1 commit 3 4 abort 6 commit 8 abort
    wait_for("the board", lambda: kafka.committed(topic)[0] == (10, "done=6"))
    wait_for("no lag", lambda: process.status()["lanes"][0]["lag"] == 0)
    kafka.tool("trim", topic, 0, 10)
    process.kill()
    process.start()
    process.logged("event=lane_owned", "position=6")
    kafka.send(topic, [incr(7)])
    wait_for("the next row", lambda: counted(t) == 4)
    equal(process.events("lane_alarm"), [])


def test_records_deleted_before_they_were_read_are_a_gap(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    process = count(t, topic, source={"on_gap": "halt"})
    kafka.send(topic, [incr(1, p) for p in (0, 1) for _ in range(10)])
    wait_for("the rows", lambda: counted(t) == 20)
    wait_for("done", lambda: {lane["done"] for lane in ledger(t).values()} == {"9"})
    process.stop()
    kafka.send(topic, [incr(2, 0) for _ in range(10)])
    kafka.tool("trim", topic, 0, 15)
    process.start()
    line = process.logged("event=lane_halted", "why=gap")
    assert "5 offsets from 10 to 14 were lost" in line, line
    equal(t.command("lane", "resume", process.config, f"default/kafka/{topic}/0")[0], 0)
    wait_for("the rest", lambda: counted(t) == 25)
    equal(alarm(process, "gap"), ["gap"])
    equal(t.command("lane", "ack", process.config, f"default/kafka/{topic}/0")[0], 0)
    wait_for("health", lambda: process.get("/healthz")[0] == 200)
    # while it runs: nothing is fetched while MySQL hangs, and what is fetched next isn't there
    t.mysql.signal(signal.SIGSTOP)
    wait_for("MySQL hangs", lambda: process.status()["totals"]["mysql_waits_seconds"] > 1.5)
    kafka.send(topic, [incr(3, 1) for _ in range(10)])
    kafka.tool("trim", topic, 1, 15)
    t.mysql.signal(signal.SIGCONT)
    assert "5 offsets from 10 to 14 were lost" in process.logged("why=gap", f"{topic}/1")
    equal(t.command("lane", "resume", process.config, f"default/kafka/{topic}/1")[0], 0)
    wait_for("the rest", lambda: counted(t) == 30)


def test_a_topic_made_anew_halts_its_lanes(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    process = count(t, topic)
    kafka.send(topic, [incr(1) for _ in range(10)])
    wait_for("the rows", lambda: counted(t) == 10)
    kafka.tool("delete", topic)
    wait_for("the topic is gone", lambda: kafka.create(topic))
    kafka.send(topic, [incr(2) for _ in range(20)])
    line = process.logged("event=lane_halted", "why=identity", seconds=40)
    assert "deleted and made anew" in line, line
    before = counted(t)
    # the place is the old topic's
    equal(t.command("lane", "resume", process.config, f"default/kafka/{topic}/0")[0], 0)
    process.logged("event=lane_not_resumed", "give the order again with --start OFFSET")
    equal(t.command("lane", "resume", process.config, f"default/kafka/{topic}/0", "--start", "0-0")[0], 0)
    wait_for("the new topic from its beginning", lambda: counted(t) == before + 20)
    stays("the lane", lambda: process.status()["lanes"][0]["state"] == "open", 1)


def test_a_log_that_ends_before_the_ledger_halts_its_lane_with_the_range(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    process = count(t, topic)
    kafka.send(topic, [incr(1) for _ in range(10)])
    wait_for("done", lambda: counted(t) == 10 and ledger(t)[topic + "/0"]["done"] == "9")
    process.stop()
    # as if the broker had been restored from older data
    t.sql("UPDATE sluice_ledger SET position='19', done='19'")
    process.start()
    line = process.logged("event=lane_halted", "why=rollback")
    assert "ends at offset 9, and the ledger is at 19: records from offset 10 to 19 are gone" in line, line
    kafka.send(topic, [incr(2) for _ in range(20)])
    # nobody knows where the new ones begin, also now that there are more than were lost
    code, out, _ = t.command("lane", "resume", process.config, f"default/kafka/{topic}/0")
    assert code == 0 and "halted: rollback" in out, out
    process.logged("event=lane_not_resumed", "--start OFFSET")
    equal((process.status()["lanes"][0]["why"], counted(t)), ("rollback", 10))
    assert "rollback" in process.get("/healthz")[1]
    equal(t.command("lane", "resume", process.config, f"default/kafka/{topic}/0", "--start", "9")[0], 0)
    wait_for("the new ones", lambda: counted(t) == 30)
    equal(t.command("lane", "ack", process.config, f"default/kafka/{topic}/0")[0], 0)
    wait_for("health", lambda: process.get("/healthz")[0] == 200)


def test_a_log_whose_end_was_replaced_meanwhile_halts_its_lane(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    process = count(t, topic)
    kafka.send(topic, [incr(partition + 1, partition) for partition in (0, 1) for _ in range(10)])
    wait_for("done", lambda: counted(t) == 20 and {row["done"] for row in ledger(t).values()} == {"9"})
    process.stop()
    process.start()
    process.logged("event=lane_owned", f"{topic}/0")
    kafka.send(topic, [incr(1)])
    wait_for("one more", lambda: counted(t) == 21)
    wait_for("done", lambda: ledger(t)[f"{topic}/0"]["done"] == "10")
    process.stop()
    # as if what was read there last had been another record than the one that the log holds now
    t.sql(f"UPDATE sluice_ledger a, sluice_ledger b SET a.checkpoints=b.checkpoints WHERE a.lane LIKE '%{topic}/1' AND b.lane LIKE '%{topic}/0'")
    t.sql(f"UPDATE sluice_ledger SET position='9', done='9', checkpoints=REPLACE(checkpoints, '=10:', '=9:') WHERE lane LIKE '%{topic}/1'")
    kafka.send(topic, [incr(2, 1) for _ in range(5)])
    process.start()
    line = process.logged("event=lane_halted", "why=rollback", f"{topic}/1")
    assert "at 9: some of its last records were replaced" in line, line
    equal(counted(t), 21)
    equal(t.command("lane", "resume", process.config, f"default/kafka/{topic}/1", "--start", "9")[0], 0)
    wait_for("the new ones", lambda: counted(t) == 26)
    process.stop()
    process.start()
    kafka.send(topic, [incr(2, 1)])
    wait_for("it stays so", lambda: counted(t) == 27)


def test_more_partitions_are_an_alarm(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    process = count(t, topic)
    kafka.send(topic, [incr(1, 0), incr(1, 1)])
    wait_for("the rows", lambda: counted(t) == 2)
    kafka.tool("grow", topic, 3)
    kafka.send(topic, [incr(1, 2)])
    wait_for("the third partition", lambda: counted(t) == 3, 30)
    assert "has 3 partitions and had 2" in process.logged("event=lane_alarm", "why=partitions")


def test_a_partition_that_came_later_is_read_from_its_beginning(t):
    """Also where those that were there are not: what it holds came after the start."""
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    kafka.send(topic, [incr(1, 0), incr(1, 1)])
    process = count(t, topic, source={"start": "end"})
    wait_for("its lanes", lambda: [lane["state"] for lane in process.status()["lanes"]] == ["open"] * 2)
    process.stop()
    kafka.tool("grow", topic, 3)
    kafka.send(topic, [incr(2, 2), incr(2, 0)])
    process.start()
    wait_for("what came since", lambda: t.sql("SELECT id, n FROM counters") == ((2, 2),), 30)


def test_a_lost_ledger_and_lost_commits_are_told(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    process = count(t, topic)
    kafka.send(topic, [incr(1, p) for p in (0, 1) for _ in range(10)])
    wait_for("the board", lambda: kafka.committed(topic, 2) == {p: (10, "done=9") for p in (0, 1)})
    process.stop()
    t.sql("DELETE FROM sluice_ledger WHERE lane LIKE '%%/0'")
    # as a replica that was promoted and had not all
    t.sql("UPDATE sluice_ledger SET position='4', done='4' WHERE lane LIKE '%%/1'")
    t.sql("UPDATE counters SET n = n - 5")
    process.start()
    process.logged("event=lane_halted", "why=ledger_lost", f"{topic}/0")
    line = process.logged("event=lane_alarm", "why=store_rollback", f"{topic}/1")
    assert "the ledger is at 4, and it was at 9" in line, line
    wait_for("what was lost is applied again", lambda: counted(t) == 20)


# --- members that come and go

class Load:
    """Increments of all partitions, until it is stopped."""

    def __init__(self, kafka, topic, partitions, each=3000):
        self.kafka, self.topic, self.partitions, self.each = kafka, topic, partitions, each
        self.sent, self.stopped = 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopped:
            self.kafka.send(self.topic, [incr(i % 50, i % self.partitions) for i in range(self.each)], "message.timeout.ms=60000")
            self.sent += self.each

    def stop(self):
        self.stopped = True
        self.thread.join()
        return self.sent


@limit(120)
def test_members_join_leave_die_and_stand_still_and_each_change_counts_once(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 6)
    first = count(t, topic, batch={"max_rows": 200})
    load = Load(kafka, topic, 6)

    def owned():
        return [sum(lane["state"] != "free" for lane in p.status()["lanes"]) for p in t.sluices if p.alive() and p is not still]
    still = None
    wait_for("all partitions", lambda: owned() == [6], 30)
    second, third = t.sluice(first.config), t.sluice(first.config)
    wait_for("two each", lambda: owned() == [2, 2, 2], 30)
    still = second
    second.signal(signal.SIGSTOP)
    wait_for("the others have its part", lambda: owned() == [3, 3], 30)
    second.signal(signal.SIGCONT)
    still = None
    wait_for("two each again", lambda: owned() == [2, 2, 2], 30)
    third.kill()
    wait_for("three each", lambda: owned() == [3, 3], 30)
    equal(second.stop(), 0)
    wait_for("all of them", lambda: owned() == [6], 30)
    sent = load.stop()
    wait_for("all of it", lambda: counted(t) >= sent, 40)
    equal(counted(t), sent)
    rows = t.sql("SELECT n FROM counters")
    equal(len(rows), 50)


@limit(90)
def test_a_trickle_is_whole_though_members_come_and_go(t):
    """Its readers stand at the ends of their partitions when these move."""
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 4)
    first = count(t, topic)
    second = t.sluice(first.config)

    def owned():
        return [sum(lane["state"] != "free" for lane in p.status()["lanes"]) for p in t.sluices if p.alive()]
    load = Load(kafka, topic, 4, each=4)
    wait_for("two each", lambda: owned() == [2, 2], 30)
    equal(second.stop(), 0)
    wait_for("all of them", lambda: owned() == [4], 30)
    sent = load.stop()
    wait_for("all of it", lambda: counted(t) >= sent, 30)
    equal(counted(t), sent)


@limit(60)
def test_a_killed_process_applies_nothing_twice(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    process = count(t, topic, properties={"session.timeout.ms": "1000", "heartbeat.interval.ms": "300"}, batch={"max_rows": 100})
    sent = 0
    for _ in range(3):
        before = counted(t)
        kafka.send(topic, [incr(i % 10) for i in range(20000)])
        sent += 20000
        wait_for("some rows", lambda: counted(t) > before)
        process.kill()
        process.start()
    wait_for("all rows", lambda: counted(t) >= sent, 30)
    equal(t.sql("SELECT n FROM counters"), ((sent // 10,),) * 10)


@limit(90)
def test_a_broker_that_is_killed_and_comes_back(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    process = count(t, topic, batch={"max_rows": 100})
    load = Load(kafka, topic, 2)
    wait_for("some rows", lambda: counted(t) > 1000)
    kafka.kill()
    wait_for("health tells", lambda: "kafka is away" in process.get("/healthz")[1], 30)
    kafka.up()
    before = counted(t)
    wait_for("rows again", lambda: counted(t) > before, 40)
    sent = load.stop()
    wait_for("all of it", lambda: counted(t) >= sent, 40)
    equal(counted(t), sent)
    wait_for("health", lambda: process.get("/healthz")[0] == 200)


@limit(60)
def test_mysql_may_be_away_longer_than_the_group_waits_for_a_poll(t):
    t.own_mysql()
    t.sql(COUNTERS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    process = count(t, topic, properties={"max.poll.interval.ms": "5000"}, mysql={"timeout": "1s", "connect_timeout": "1s"}, lock_wait="1s")
    kafka.send(topic, [incr(i % 10, i % 2) for i in range(1000)])
    wait_for("the rows", lambda: counted(t) == 1000)
    t.mysql.kill()
    kafka.send(topic, [incr(i % 10, i % 2) for i in range(20000)])
    process.logged("event=store_unreachable")
    stays("the membership", lambda: not process.events("partitions_revoked"), 8)
    t.mysql.up()
    wait_for("the rest", lambda: counted(t) == 21000, 30)
    equal(process.events("partitions_revoked"), [])
    equal(len(process.events("partitions_assigned")), 1)


def test_a_member_that_another_of_its_name_fenced_says_so_and_counts_nothing_twice(t):
    """Both have the same group.instance.id; what is said of the group is of no topic."""
    t.sql(COUNTERS)
    topic = the_kafka(t).create(topic_of(t), 2)
    both = []
    for number in range(2):
        both.append(count(t, topic, properties={"group.instance.id": "same", "session.timeout.ms": "20000"}))
        wait_for("its lanes", lambda: [lane["state"] for lane in both[number].status()["lanes"]] == ["open"] * 2)
    assert "fenced" in both[0].logged("event=source_unreachable", "group sluice-default"), both[0].text()
    both[1].kill()
    the_kafka(t).send(topic, [incr(1, partition) for partition in (0, 1) for _ in range(5)])
    wait_for("it goes on", lambda: counted(t) == 10)
    wait_for("health", lambda: both[0].get("/healthz")[0] == 200)


# --- lanes that only invalidate

@limit(60)
def test_events_only_invalidate_without_mysql_and_the_group_knows_how_far(t):
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t), 2)
    config = settings(t, kafka, topic, source={"write": False}, tables=["items"])
    config["mysql"] = None
    config["redis"] = {"url": t.redis_server.url}
    config["tables"]["items"] = {"key": ["id"], "types": {"id": "BIGINT"}, "invalidate": [t.prefix + ":item:{id}"]}
    for key in range(200):
        t.redis.set(f"{t.prefix}:item:{key}", "old")
    process = t.sluice(**config)
    kafka.send(topic, [event(key, 1, partition=key % 2) for key in range(100)])
    wait_for("the keys are gone", lambda: t.redis.exists(*(f"{t.prefix}:item:{key}" for key in range(100))) == 0)
    wait_for("the board", lambda: {p: (offset, metadata.split(" ")[0]) for p, (offset, metadata) in kafka.committed(topic, 2).items()} == {p: (50, "done=49") for p in (0, 1)})
    process.kill()
    kafka.send(topic, [event(key, 1, partition=key % 2) for key in range(100, 200)] + [(0, None, "no json")])
    process.start()
    wait_for("all keys are gone", lambda: t.redis.exists(*(f"{t.prefix}:item:{key}" for key in range(200))) == 0)
    process.logged("event=lane_owned", f"{topic}/0", "position=49")
    process.logged("event=dead_letter", "reason=bad_json", f"{topic}/0")
    wait_for("the letter", lambda: t.redis.xlen("sluice:default:dead") >= 1)
    equal(process.stop(), 0)
    equal(kafka.committed(topic, 2)[0][0], 101)


# --- ways in

@limit(60)
def test_tls_and_sasl_are_settings(t):
    t.sql(COUNTERS)
    kafka = the_kafka(t, secure=True)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [incr(1) for _ in range(10)])
    login = {"sasl.username": "alice", "sasl.password": "${file:%s}" % t.write_text(PASSWORD, "password")}
    ca = {"ssl.ca.location": kafka.dir + "/ca.crt"}
    ways = [(2, {"security.protocol": "SSL", **ca}),
            (3, {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", **login}),
            (4, {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", **ca, **login})]
    for number, (port, properties) in enumerate(ways):
        config = settings(t, kafka, topic, fmt="json", tables=["counters"], source={"table": "counters"}, properties=properties,
                          pool=f"p{number}", kafka={"brokers": f"localhost:{kafka.ports[port]}"})
        process = t.sluice(**config)
        wait_for("the rows", lambda: counted(t) == 10 * (number + 1))
        equal(t.command("check", process.config, "--connect")[0], 0)
        printed = t.command("config", process.config)[1]
        assert PASSWORD not in printed + process.text() and ("***" in printed or number == 0), printed
        process.stop()


@limit(120)
def test_what_keeps_a_broker_away_is_said_at_once_and_does_not_hold_up_the_end(t):
    kafka = the_kafka(t, secure=True)
    t.sql(COUNTERS)
    wrong = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "alice", "sasl.password": "no" + PASSWORD}
    for port, properties, words in (kafka.ports[3], wrong, "uthentication failed"), (1, {}, "refused"):
        process = t.sluice(**settings(t, kafka, topic_of(t), fmt="json", tables=["counters"], source={"table": "counters"}, properties=properties,
                                      kafka={"brokers": f"127.0.0.1:{port}", "timeout": "55s"}))
        assert words in process.logged("event=source_unreachable"), process.text()
        wait_for("health says it", lambda: words in process.get("/healthz")[1])
        equal((process.get("/readyz")[0], process.stop(), PASSWORD in process.text()), (200, 0, False))


def test_a_group_that_may_not_be_used_is_said_until_it_may(t):
    kafka = the_kafka(t, secure=True)
    t.sql(COUNTERS)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [incr(1)])
    bob = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "bob", "sasl.password": PASSWORD}
    config = settings(t, kafka, topic, fmt="json", tables=["counters"], source={"table": "counters"}, properties=bob, pool="bobs",
                      kafka={"brokers": f"127.0.0.1:{kafka.ports[3]}"})
    code, _, text = t.command("check", t.write_config(**config), "--connect")
    assert code == 78 and f"topic {topic}: there is none of that name, or ACLs hide it" in text, text
    kafka.allow("--operation", "Read", "--topic", topic)
    process = t.sluice(**config)
    assert "the group sluice-bobs: " in process.logged("event=source_unreachable"), process.text()
    wait_for("health says it", lambda: process.get("/healthz")[0] == 503 and "the group sluice-bobs: " in process.get("/healthz")[1])
    code, _, text = t.command("check", process.config, "--connect")
    assert code == 78 and "the group sluice-bobs: Broker: Group authorization failed; it wants Read" in text, text
    kafka.allow("--operation", "Read", "--group", "sluice-bobs")
    wait_for("it goes on", lambda: counted(t) == 1)
    wait_for("health", lambda: process.get("/healthz")[0] == 200)
    equal(t.command("check", process.config, "--connect")[0], 0)


@limit(120)
def test_dead_letters_reach_their_topic_over_tls_and_sasl(t):
    kafka = the_kafka(t, secure=True)
    topic, home = kafka.create(topic_of(t)[-60:]), kafka.create(topic_of(t)[-60:] + ".dead", 1, "cleanup.policy=compact")
    properties = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", "ssl.ca.location": kafka.dir + "/ca.crt",
                  "sasl.username": "alice", "sasl.password": "${file:%s}" % t.write_text(PASSWORD, "password")}
    kafka.send(topic, [(0, {"id": 1}, r"\x00ff01")])
    config = settings(t, kafka, topic, source={"write": False}, properties=properties, kafka={"brokers": f"localhost:{kafka.ports[4]}"},
                      cache={"url": t.redis_server.url}, dead_letters={"topic": home}, tables={"items": {"key": ["id"], "invalidate": [t.prefix + ":{id}"]}})
    process = t.sluice(**{**config, "mysql": None})
    wait_for("the letter, and progress behind it", lambda: kafka.committed(topic)[0][0] == 1)
    code, out, err = t.command("dead", "list", process.config, "--json")
    assert code == 0 and [json.loads(line)["reason"] for line in out.splitlines()] == ["wrong_format"], out + err
    code, out, err = t.command("dead", "drop", process.config, "--all")
    assert code == 0 and "1 dropped" in out, out + err
    assert PASSWORD not in process.text() + out + err


def test_check_names_what_is_wrong(t):
    kafka = the_kafka(t)
    t.users()
    good = dict(fmt="json", tables=["users"], source={"table": "users"})

    def check(*words, topic="none-such", **more):
        path = t.write_config(**settings(t, kafka, topic, **good, **more))
        return t.command("check", path, *words)
    code, _, text = check(properties={"group.id": "mine"})
    assert code == 78 and re.search(r":\d+:\d+: kafka.settings: group.id is set by sluice: ", text), text
    code, _, text = check(properties={"sasl.pasword": "x"})
    assert code == 78 and "no property sasl.pasword" in text, text
    code, _, text = check(properties={"ssl.ca.location": "/none/such", "security.protocol": "SSL"})
    assert code == 78 and "ssl.ca.location" in text, text
    code, _, text = check(properties={"max.poll.interval.ms": "6000"})
    assert code == 78 and "max.poll.interval.ms is less than twice" in text, text
    code, _, text = check("--connect")
    assert code == 78 and "topic none-such: there is none" in text, text
    kafka.create(topic_of(t))
    equal(check("--connect", topic=topic_of(t))[0], 0)
    code, _, text = check("--connect", kafka={"brokers": "127.0.0.1:1", "timeout": "1s"})
    assert code == 69 and "cannot use kafka at 127.0.0.1:1" in text, text


# whichever is first starts the broker, which takes its time on a machine that is busy
for _name, _test in list(globals().items()):
    if _name.startswith("test_"):
        limit(max(120, getattr(_test, "limit", 0)))(_test)
