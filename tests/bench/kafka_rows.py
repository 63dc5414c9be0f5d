"""The rows of tests/bench/run with a real Kafka: four partitions of Debezium's events, as events.h makes them."""
import os, time

from bench import COUNTS, QUICK, Result, Usage, cpu, cpu_seconds, ratio, rate, repeat
import kafka, support

PARTITIONS = 4
KINDS = {"plain": "650 B, no schema block", "schema": "3 kB with its schema block"}
EVENTS = {"plain": COUNTS["insert"], "schema": COUNTS["insert"] // 2}
# rebalances are not what is measured; the names are librdkafka's
SETTINGS = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}


class KafkaBench:
    def __init__(self, bench):
        self.bench, self.redis, self.groups = bench, bench.redis, 0
        self.kafka = kafka.Kafka(os.path.join(bench.dir, "kafka")).up()
        self.there = dict.fromkeys(EVENTS, 0)
        for kind in EVENTS:
            self.kafka.create(f"bench.{kind}", PARTITIONS)
            self.fill(kind, EVENTS[kind])
        self.redis.allow("cache:*")

    def fill(self, kind, count):
        self.bench.program("kafka_fill", self.kafka.brokers, f"bench.{kind}", PARTITIONS, "insert", count, kind)
        self.there[kind] += count

    def config(self, kind, writes):
        self.groups += 1
        path = os.path.join(self.bench.dir, "kafka.yaml")
        settings = ", ".join(f'{name}: "{value}"' for name, value in SETTINGS.items())
        with open(path, "w") as out:
            out.write(f"""pool: bench{self.groups}
kafka: {{ brokers: "{self.kafka.brokers}", settings: {{ {settings} }} }}
http: {{ listen: "127.0.0.1:0" }}
sources: [{{ topics: ["bench.{kind}"], format: debezium, write: {str(writes).lower()}, tables: [t], start: beginning }}]
workers: 1
""")
            if writes:
                out.write(f'mysql: {{ url: "{self.bench.durable.url("bench")}" }}\ntables: {{ t: {{}} }}\n')
            else:
                out.write(f'redis: {{ url: "{self.redis.url}" }}\ntables: {{ t: {{ key: [id], types: {{ id: BIGINT }}, invalidate: ["cache:{{id}}"] }} }}\n')
        return path

    def sluice(self, kind, writes):
        """From the first entry that is done with until all are; what was done then is not counted."""
        count, start, held = self.there[kind], None, 0
        if writes:
            self.bench.table(self.bench.durable, "insert")
        usage = Usage(**({"mysqld": self.bench.durable} if writes else {"redis": self.redis}), kafka=self.kafka)
        process = self.bench.start(None, 1, self.config(kind, writes))
        try:
            deadline = time.monotonic() + 120
            while (done := process.metric("sluice_entries_total")) < count:
                assert time.monotonic() < deadline and process.alive(), f"sluice does not get on: {process.log}"
                if start is None and done > 0:
                    start, held = time.monotonic(), done
                time.sleep(pause(start, done - held, count - done))
            seconds = time.monotonic() - start
            used = usage.per_million(count)
            used["sluice"] = cpu_seconds(process.pid) * 1e6 / count
            assert process.metric("sluice_dead_letters_total") == 0, "dead letters"
            return Result((count - held) / seconds, used, process.rss_mib())
        finally:
            process.stop()

    def unlink(self, kind):
        self.groups += 1
        usage = Usage(redis=self.redis, kafka=self.kafka)
        words = self.bench.program("kafka_unlink", self.kafka.brokers, f"bench.{kind}", f"bare{self.groups}", self.there[kind], self.redis.port)
        events, seconds, own = map(float, words)
        return Result(events / seconds, {**usage.per_million(events), "bare": own * 1e6 / events})


def pause(start, done, left):
    """Seldom but near the end: an answer of the metrics costs as much as a thousand events."""
    return min(0.2, max(0.02, (time.monotonic() - start) / done * left / 2)) if done > 0 else 0.02


def rows_kafka(b, table):
    k = KafkaBench(b)
    for kind, title in KINDS.items():
        got = repeat({"bare": lambda: b.bare(b.durable, "insert", 1), "sluice": lambda: k.sluice(kind, True)})
        table.head(f"Kafka to MySQL: events of {title}, new rows; binlog, sync_binlog=1")
        table.row("bare C writer of the same rows, 1 connection", rate(got["bare"]), more=cpu(got["bare"]))
        table.row("sluice, 1 worker", rate(got["sluice"]), ratio(got["sluice"], got["bare"]), 0.85, shown(got["sluice"]))
    for kind, title in KINDS.items():
        k.fill(kind, 3 * EVENTS[kind])  # without a database it takes less than a second else
        got = repeat({"bare": lambda: k.unlink(kind), "sluice": lambda: k.sluice(kind, False)})
        table.head(f"Kafka to UNLINK: events of {title}")
        table.row("bare pipeline: librdkafka, yyjson, hiredis", rate(got["bare"]), more=cpu(got["bare"]))
        table.row("sluice, 1 worker", rate(got["sluice"]), ratio(got["sluice"], got["bare"]), 0.8, shown(got["sluice"]))
    table.head("Debezium's events decoded by one core, against yyjson's parse alone (MB/s in thousands)")
    for kind, title in KINDS.items():
        size, decoded, parsed = map(float, b.program("decode", kind, 100000 if QUICK else 500000))
        table.row(f"yyjson's parse, {title}", size / parsed / 1e3)
        table.row("  decoder, against it", size / decoded / 1e3, parsed / decoded)
    k.kafka.stop()


def shown(results):
    return cpu(results) + f"  RSS {max(result.rss_mib for result in results):.0f} MiB"
