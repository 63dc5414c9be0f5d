"""A row of tests/bench/run: what a reader of topics holds while MySQL is away, however much waits in them."""
import os, time

from bench import QUICK, say
import kafka, support

PARTITIONS = 8
EVENTS = 300_000 if QUICK else 1_600_000  # of 650 B: the smaller, the more there is to hold beside them
SIZE = "0.2 GB" if QUICK else "1 GB"


def config(b, server, topic, workers):
    path = os.path.join(b.dir, "kafka_backlog.yaml")
    with open(path, "w") as out:
        out.write(f"""kafka: {{ brokers: "{server.brokers}" }}
mysql: {{ url: "{b.plain.url("bench")}" }}
http: {{ listen: "127.0.0.1:0" }}
sources: [{{ topics: {topic}, format: debezium, tables: [t] }}]
tables: {{ t: {{}} }}
workers: {workers}
""")
    return path


def peak_mib(b, server, workers):
    """Its partitions are assigned and read when MySQL goes away; then they are filled."""
    topic = server.create(f"backlog{workers}", PARTITIONS)
    b.table(b.plain, "insert")
    process = b.start(b.plain, workers, config(b, server, topic, workers))
    for partition in range(PARTITIONS):
        process.logged("event=lane_owned", f"{topic}/{partition}", seconds=60)
    b.plain.stop()
    b.program("kafka_fill", server.brokers, topic, PARTITIONS, "insert", EVENTS, "plain")
    peak, until = 0, time.monotonic() + (5 if QUICK else 15)
    while time.monotonic() < until:
        peak = max(peak, process.rss_mib())
        time.sleep(0.1)
    process.kill()
    b.plain.up()
    server.tool("delete", topic)
    return peak


def rows_kafka_backlog(b, table):
    try:
        server = kafka.Kafka(os.path.join(b.dir, "kafka_backlog")).up()
    except support.Skip as reason:
        say(f"\n*** SKIPPED: what a reader of topics holds while MySQL is away: {reason} ***\n")
        return
    table.head(f"a topic's backlog of {SIZE} with MySQL stopped")
    for workers in (1, 2):
        table.row(f"RSS, MiB, {workers} worker(s)", None, peak_mib(b, server, workers), 64, "", True)
    server.stop()
