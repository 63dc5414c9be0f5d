"""The rows of tests/bench/run about refresh ahead: what sampling costs Redis, and what the monitor and the refresher cost us."""
import os, statistics, subprocess, time

KEYS = 100000
CONFIG = """redis: {{ url: "{redis}" }}
mysql: {{ url: "{mysql}" }}
http: {{ listen: "127.0.0.1:0" }}
sources: [{{ streams: "wb:0", table: t }}]
tables: {{ t: {{ invalidate: ["user:{{id}}"], refresh: {{ ttl: 1h }} }} }}
"""


def threads(pid):
    """{name: seconds of processor} of a process."""
    seconds = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as comm, open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
            name = comm.read().strip()
            seconds[name] = seconds.get(name, 0) + int(stat.read().split()[0]) / 1e9
    return seconds


def shares(pid, work):
    """What each thread used meanwhile, in % of a core, and the seconds."""
    before, begun = threads(pid), time.monotonic()
    work()
    seconds, after = time.monotonic() - begun, threads(pid)
    return {name: 100 * (after[name] - before.get(name, 0)) / seconds for name in after}, seconds


def told(used):
    return "  ".join(f"{name} {used.get(name, 0):.2f}" for name in ("monitor", "refresh", "worker0"))


def reads(b, count, sample):
    """Calls of sluice_get that Redis answers in a second of its own processor, pipelined."""
    before = threads(b.redis.pid)
    subprocess.run(["redis-benchmark", "-p", str(b.redis.port), "-q", "-P", "32", "-c", "4", "-n", str(count), "-r", str(KEYS),
                    "fcall", "sluice_get", "1", "user:__rand_int__", "", "", str(sample)], stdout=subprocess.DEVNULL, check=True)
    return count / (sum(threads(b.redis.pid).values()) - sum(before.values()))


def fill(client):
    with client.pipeline(transaction=False) as pipe:
        for key in range(KEYS):
            pipe.fcall("sluice_populate", 1, f"user:{key:012}", "57", "p" * 100, "3600000", "", "", "", "1")
            if key % 10000 == 9999:
                pipe.execute()


def rows_refresh(b, table, quick, repeats, functions):
    client, seconds = b.redis.client(), 5 if quick else 15
    client.flushall()
    b.filled = None
    client.function_load(functions, replace=True)
    b.table(b.durable, "insert")
    path = os.path.join(b.dir, "refresh.yaml")
    with open(path, "w") as out:
        out.write(CONFIG.format(redis=b.redis.url, mysql=b.durable.url("bench")))
    process = b.start(b.durable, 1, path)
    process.logged("lane_owned", "wb:0")
    time.sleep(2)
    table.head("monitor and refresher, % of a core")
    used, _ = shares(process.pid, lambda: time.sleep(seconds))
    table.row("nothing is read, an empty cache: the whole process", None, sum(used.values()), 0.3, told(used), True)
    process.stop()
    fill(client)
    process = b.start(b.durable, 1, path)
    process.logged("lane_owned", "wb:0")
    time.sleep(2)
    used, _ = shares(process.pid, lambda: time.sleep(seconds))
    table.row(f"nothing is read, the walk over {KEYS:,} keys", None, sum(used.values()), None, told(used))
    count, speeds, cost = 100000 if quick else 400000, {0: [], 20: [], 1: []}, {}
    for _ in range(repeats):
        for sample, got in speeds.items():
            used, took = shares(process.pid, lambda: (got.append(reads(b, count, sample)), time.sleep(1)))
            cost.setdefault(sample, []).append(used.get("refresh", 0) / 100 * took / count * 1e6)
    counted = process.status()["refresh"]["reads"]
    assert counted > count, counted
    process.stop()
    table.head("sampled reads: sluice_get hits of 100 B, a Redis core, with a refresher that listens")
    off = statistics.median(speeds[0])
    for sample, name in ((0, "no sample"), (20, "one in 20 is reported"), (1, "each is reported")):
        speed = statistics.median(speeds[sample])
        table.row(f"sluice_get, {name}" + (", against none" if sample else ""), speed, speed / off if sample else None,
                  more=f"refresher {statistics.median(cost[sample]):.2f}")
    client.flushall()
