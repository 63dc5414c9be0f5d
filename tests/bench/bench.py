"""
How the rows of tests/bench/run are measured: streams are filled first (fill.c), then sluice starts, and
the clock stops when its ledger stands at every lane's last entry.  Repeats are interleaved; a ratio is
the median of the repeats' ratios.  CPU is what the kernel says each process used, in seconds per
million changes.  Servers are private and under build/run.
"""
import os, re, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import support

QUICK = os.environ.get("BENCH") == "quick"
REPEATS = int(os.environ.get("REPEATS") or (1 if QUICK else 3))
PROGRAMS = os.path.dirname(support.SLUICE)
LANES = 8
os.environ["MYSQL_PWD"] = support.PASSWORD

COUNTS = {"insert": 200000, "update": 100000, "versioned": 100000, "incr": 150000, "partial": 150000, "wide": 40000, "zipf": 600000}
if QUICK:
    COUNTS = {kind: count // 3 for kind, count in COUNTS.items()}
USERS = "id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(40), email VARCHAR(64), city VARCHAR(40), score INT"
COUNTERS = "id BIGINT UNSIGNED PRIMARY KEY, clicks BIGINT UNSIGNED NOT NULL DEFAULT 0, credits BIGINT NOT NULL DEFAULT 0"
TABLES = {
    "insert": (USERS, None),
    "update": (USERS, "SELECT seq, REPEAT('n', 24), REPEAT('e', 40), REPEAT('c', 24), 7"),
    "versioned": (USERS + ", ver BIGINT UNSIGNED", "SELECT seq, REPEAT('n', 24), REPEAT('e', 40), REPEAT('c', 24), 7, 0"),
    "incr": (COUNTERS, "SELECT seq, 0, 0"),
    # a column that an INSERT would need: sluice can't use one for these
    "partial": ("id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(40) NOT NULL, email VARCHAR(64)",
                "SELECT seq, REPEAT('n', 24), REPEAT('e', 40)"),
    "wide": ("id BIGINT UNSIGNED PRIMARY KEY, body VARCHAR(4000)", None),
    "zipf": (COUNTERS, None),
}
OPTIONS = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--innodb-flush-log-at-trx-commit=1",
           "--max-allowed-packet=64M"]
BINLOG = ["--log-bin=binlog", "--binlog-format=ROW", "--sync-binlog=1", "--server-id=1"]


def cpu_seconds(pid):
    """All threads, to the nanosecond."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
                total += int(stat.read().split()[0])
        except OSError:
            pass
    return total / 1e9


def machine_seconds():
    """What all processors were busy with since boot."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Ours: this process, what it started and is gone, and what runs still."""
    return sum(os.times()[:4]) + sum(cpu_seconds(process.pid) for process in support._running if process.alive())


def say(*words):
    print(*words, flush=True)


class Usage:
    """CPU of the servers from now on."""

    def __init__(self, **processes):
        self.before = {name: (process, cpu_seconds(process.pid)) for name, process in processes.items()}

    def per_million(self, changes):
        return {name: (cpu_seconds(process.pid) - before) * 1e6 / changes for name, (process, before) in self.before.items()}


class Result:
    def __init__(self, rate, cpu, rss_mib=None):
        self.rate, self.cpu, self.rss_mib = rate, cpu, rss_mib


class Bench:
    def __init__(self, directory):
        self.dir, self.numbers = directory, 0
        self.redis = support.Redis(directory).up()
        self.durable = support.MariaDB(directory, *OPTIONS, *BINLOG).up()
        self.plain = support.MariaDB(directory, *OPTIONS, "--skip-log-bin").up()
        self.consumer = self.build_consumer()
        self.filled = None

    # --- preparing

    def build_consumer(self):
        program = os.path.join(support.BUILD, "bench", "consumer")
        try:
            os.makedirs(os.path.dirname(program), exist_ok=True)
            subprocess.run(["go", "build", "-o", program, "consumer.go"], cwd=HERE, check=True, timeout=300,
                           env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"})
            return program
        except (OSError, subprocess.SubprocessError) as error:
            say(f"\n*** SKIPPED: everything about the Go consumer: {error} (apt install golang-go, and a Go module proxy) ***\n")
            return None

    def program(self, name, *words, seconds=300):
        done = subprocess.run([os.path.join(PROGRAMS, "bench_" + name), *map(str, words)], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=seconds)
        return done.stdout.split()

    def fill(self, kind, database=0, count=None):
        self.program("fill", self.redis.port, database, "wb:", LANES, kind, count or COUNTS[kind])

    def streams(self, kind):
        """Fresh copies in database 0 of what was filled once into database 1."""
        store = self.redis.client(db=1)
        self.redis.client().flushdb()
        if self.filled != kind:
            store.flushdb()
            self.fill(kind, 1)
            self.filled = kind
        for lane in range(LANES):
            store.execute_command("COPY", f"wb:{lane}", f"wb:{lane}", "DB", 0)

    def table(self, mysql, kind):
        """The table of a kind, as it is before each repeat; then nobody is busy any more."""
        definition, rows = TABLES[kind]
        for statement in ["DROP DATABASE IF EXISTS bench", "CREATE DATABASE bench"]:
            mysql.sql(statement)
        mysql.grant("bench")
        for name in ("t", "bare"):
            mysql.sql(f"CREATE TABLE {name} ({definition}) CHARACTER SET utf8mb4", database="bench")
            mysql.grant("bench", name)
        for statement in support.own_tables():
            mysql.sql(statement, database="bench")
            mysql.grant("bench", re.search(r"sluice_\w+", statement)[0])
        if rows:
            mysql.sql(f"INSERT INTO t {rows} FROM seq_1_to_{COUNTS[kind]}", database="bench")
        if mysql is self.durable:
            mysql.sql("RESET MASTER")
        self.quiet(mysql)

    def quiet(self, mysql, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = cpu_seconds(mysql.pid)
            time.sleep(0.1)
            if cpu_seconds(mysql.pid) - before < 0.005:
                return

    # --- the runners: each answers a Result

    def bare(self, mysql, kind, connections):
        self.table(mysql, kind)
        usage = Usage(mysqld=mysql)
        changes, seconds, own = map(float, self.program("bare_writer", mysql.port, "bench", kind, COUNTS[kind], connections, 1000))
        return Result(changes / seconds, {**usage.per_million(changes), "writer": own * 1e6 / changes})

    def single(self, mysql):
        """One INSERT per write, as an app without write-behind does it; a few seconds of it."""
        self.table(mysql, "insert")
        changes, seconds, _ = map(float, self.program("bare_writer", mysql.port, "bench", "insert", COUNTS["insert"], 1, 1, 2))
        return Result(changes / seconds, {})

    def go(self, mysql, kind, workers):
        self.table(mysql, kind)
        self.streams(kind)
        dsn = f"app:{support.PASSWORD}@tcp(127.0.0.1:{mysql.port})/bench?interpolateParams=true"
        usage = Usage(mysqld=mysql, redis=self.redis)
        before = os.times()
        done = subprocess.run([self.consumer, dsn, f"127.0.0.1:{self.redis.port}", "wb:", str(LANES), str(workers), str(COUNTS[kind])],
                              stdout=subprocess.PIPE, text=True, check=True, timeout=300)
        after = os.times()
        changes, seconds = map(float, done.stdout.split())
        own = after.children_user + after.children_system - before.children_user - before.children_system
        return Result(changes / seconds, {**usage.per_million(changes), "go": own * 1e6 / changes})

    def config(self, mysql, workers, invalidate=(), version=""):
        path = os.path.join(self.dir, "sluice.yaml")
        with open(path, "w") as out:
            out.write(f"""redis: {{ url: "{self.redis.url}" }}
mysql: {{ url: "{mysql.url('bench')}" }}
http: {{ listen: "127.0.0.1:0" }}
sources: [{{ streams: "wb:{{0..{LANES - 1}}}", table: t }}]
tables: {{ t: {{ {version and f"version: {version}, "}invalidate: {list(invalidate)} }} }}
workers: {workers}
{os.environ.get("CONFIG", "")}
""")
        return path

    def start(self, mysql, workers, config=None):
        self.numbers += 1
        return support.Sluice(config or self.config(mysql, workers), os.path.join(self.dir, f"sluice{self.numbers}.log")).start()

    def ledger(self, cursor):
        cursor.execute("SELECT lane, position FROM sluice_ledger")
        return {support.text_of(lane).split(":")[-1]: support.text_of(position) for lane, position in cursor.fetchall()}

    def pool(self, mysql, kind, processes):
        """Processes of one worker each, with one file; the streams are filled when they have shared the lanes."""
        self.table(mysql, kind)
        self.redis.client().flushdb()
        path = self.config(mysql, 1)
        members = [self.start(mysql, 1, path) for _ in range(processes)]
        shared = lambda: [member.status()["totals"]["lanes_owned"] for member in members]
        try:
            support.wait_for("the lanes to be shared", lambda: sum(shared()) == LANES and max(shared()) - min(shared()) <= 1, 30)
            for member in members:  # they read when all is there
                member.signal(support.signal.SIGSTOP)
            self.streams(kind)
            client = self.redis.client()
            last = {str(lane): client.xinfo_stream(f"wb:{lane}")["last-generated-id"].decode() for lane in range(LANES)}
            connection = mysql.connect("bench")
            cursor, usage, start = connection.cursor(), Usage(mysqld=mysql, redis=self.redis), time.monotonic()
            own = sum(cpu_seconds(member.pid) for member in members)
            for member in members:
                member.signal(support.signal.SIGCONT)
            support.wait_for("all to be written", lambda: self.ledger(cursor) == last, 120, 0.02)
            seconds = time.monotonic() - start
            cpu = usage.per_million(COUNTS[kind])
            cpu["sluice"] = (sum(cpu_seconds(member.pid) for member in members) - own) * 1e6 / COUNTS[kind]
            assert not self.dead(cursor), "dead letters"
            connection.close()
            return Result(COUNTS[kind] / seconds, cpu, max(member.rss_mib() for member in members))
        finally:
            for member in members:
                member.signal(support.signal.SIGCONT)
            for member in members:
                member.stop()

    def sluice(self, mysql, kind, workers, invalidate=(), version=""):
        """The clock starts with the first commit that is seen, and what it held is not counted."""
        self.table(mysql, kind)
        self.streams(kind)
        client = self.redis.client()
        last = {str(lane): client.xinfo_stream(f"wb:{lane}")["last-generated-id"].decode() for lane in range(LANES)}
        connection = mysql.connect("bench")
        cursor, start, held, usage = connection.cursor(), None, 0, Usage(mysqld=mysql, redis=self.redis)
        process = self.start(mysql, workers, self.config(mysql, workers, invalidate, version))
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    ledger = self.ledger(cursor)
                except support.pymysql.ProgrammingError:
                    ledger = {}
                now = time.monotonic()
                if ledger == last:
                    break
                if start is None and any(position != "0-0" for position in ledger.values()):
                    held, start = process.metric("sluice_entries_total"), time.monotonic()
                assert now < deadline and process.alive(), f"sluice does not get on: {process.log}"
                time.sleep(0.04)
            cpu = usage.per_million(COUNTS[kind])
            cpu["sluice"] = cpu_seconds(process.pid) * 1e6 / COUNTS[kind]
            folded = process.metric("sluice_folded_total") / COUNTS[kind]
            result = Result((COUNTS[kind] - held) / (now - start), cpu, process.rss_mib())
            result.folded = folded
            assert not self.dead(cursor), "dead letters"
            return result
        finally:
            connection.close()
            process.stop()

    def dead(self, cursor):
        cursor.execute("SELECT COUNT(*) FROM sluice_dead_letter")
        return cursor.fetchone()[0]


def repeat(runners):
    """{name: [Result]}, interleaved, every other round backwards."""
    results = {name: [] for name in runners}
    for number in range(REPEATS):
        for name in list(runners)[::-1 if number % 2 else 1]:
            results[name].append(runners[name]())
    return results


def rate(results):
    return statistics.median(result.rate for result in results)


def ratio(results, base):
    return statistics.median(result.rate / other.rate for result, other in zip(results, base))


def cpu(results):
    names = sorted(results[0].cpu, key=lambda name: (name in ("mysqld", "redis"), name))
    return "  ".join(f"{name} {statistics.median(result.cpu[name] for result in results):.2f}" for name in names)


class Table:
    """What is printed, and written to RESULTS.md."""

    def __init__(self):
        self.lines, self.missed, self.machine = [], [], ""

    def head(self, text):
        self.lines += ["", f"**{text}**", "", "| | changes/s | ratio | target | CPU-s per million |", "|---|---|---|---|---|"]
        say(f"\n{text}\n{'':44}{'changes/s':>10}{'ratio':>8}{'target':>9}   CPU-s per million changes")

    def row(self, name, speed, value=None, target=None, more="", worse_above=False):
        good = value is None or target is None or (value <= target if worse_above else value >= target)
        sign = "" if target is None else ("≤ " if worse_above else "≥ ") + f"{target:g}"
        shown = "" if value is None else f"{value:.3g}" if value < 10 else f"{value:.0f}"
        speed = "" if speed is None else f"{speed / 1000:.1f} k"
        say(f"{name:44}{speed:>10}{shown:>8}{sign:>9} {' ' if good else '!'} {more}")
        self.lines.append(f"| {name.strip()} | {speed} | {shown if good else '**' + shown + '**'} | {sign} | {more} |")
        if not good:
            self.missed.append(f"{name}: {shown} ({sign})")
