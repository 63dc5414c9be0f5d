"""Kafka topics into MySQL, on a real broker."""
import json
from change_events import ITEMS, debezium
from kafka import settings, the_kafka
from support import equal, limit, text_of, wait_for


def event(key, n, op="c", **more):
    row = {"id": key, "name": f"name {key}", "code": None, "n": n, **more}
    return (0, {"id": key}, debezium("items", op, None if op == "c" else row, None if op == "d" else row))


def at(partition, record):
    return (partition, *record[1:])


def topic_of(t):
    return t.name.replace("_", "-")


def start(t, topics, **more):
    kafka = the_kafka(t)
    return t.sluice(**settings(t, kafka, topics, **more))


def ledger(t):
    return {text_of(row["lane"]): row for row in t.own_table("sluice_ledger")}


def items(t):
    return t.sql("SELECT id, n FROM items ORDER BY id")


def test_events_of_a_topic_are_written(t):
    t.sql(ITEMS)
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    kafka.send(topic, [event(1, 10), event(2, 20), event(1, 11, "u"), event(2, 20, "d"), (0, {"id": 2}, None)])
    start(t, topic)
    wait_for("the rows", lambda: items(t) == ((1, 11),))
    row = wait_for("done", lambda: [r for r in ledger(t).values() if text_of(r["done"]) == "4"])[0]
    equal((text_of(row["lane"]), text_of(row["position"])), (f"default/kafka/{topic}/0", "4"))
    wait_for("the notice board", lambda: kafka.committed(topic)[0] == (5, "done=4"))


@limit(60)
def test_a_killed_process_applies_nothing_twice(t):
    t.sql("CREATE TABLE counters (id BIGINT UNSIGNED PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0)")
    kafka = the_kafka(t)
    topic = kafka.create(topic_of(t))
    process = start(t, topic, fmt="json", tables=["counters"], source={"table": "counters"})
    sent = 0
    for _ in range(5):
        kafka.send(topic, [(0, None, {"_op": "incr", "id": i % 10, "n": 1}) for i in range(20000)])
        sent += 20000
        before = t.row("SELECT COALESCE(SUM(n), 0) FROM counters")[0]
        wait_for("some rows", lambda: t.row("SELECT COALESCE(SUM(n), 0) FROM counters")[0] > before)
        process.kill()
        process.start()
    wait_for("all rows", lambda: t.row("SELECT SUM(n) FROM counters")[0] >= sent, 30)
    equal(t.sql("SELECT n FROM counters"), ((sent // 10,),) * 10)
