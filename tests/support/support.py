"""
What the integration tests stand on: private Redis and MariaDB processes on free ports under build/run, the
sluice under test, and waiting for a condition with a deadline.  Nothing here touches a server that it did not
start.  Every process of ours is told by the kernel to die with the Python that started it, so nothing is left
behind by a test that fails, is interrupted or is killed.

Debian: python3-redis python3-pymysql python3-yaml redis-server mariadb-server-core
"""
import atexit, ctypes, fcntl, functools, glob, itertools, json, os, pwd, random, re, shlex, shutil, signal, socket, subprocess, sys, time, urllib.error, urllib.request
import pymysql, redis, yaml

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
SLUICE = os.path.abspath(os.environ.get("SLUICE") or os.path.join(BUILD, "release", "sluice"))
PASSWORD = "pw-never-in-a-log-4711"
# under a sanitizer or valgrind everything is slower
PATIENCE = float(os.environ.get("PATIENCE") or (3 if os.environ.get("VARIANT") in ("asan", "tsan", "cover") else 1))
os.environ["PATH"] += ":/usr/sbin:/sbin"  # servers live there, and not everybody looks there


# other servers than this Debian's, for all tests (see `make matrix`): names that tests/support/server knows
REDIS, MYSQL = os.environ.get("TEST_REDIS"), os.environ.get("TEST_MYSQL")


class Skip(Exception):
    """Raised by a test that can't be run here; the text says why."""


def limit(seconds):
    """How long a test may take on a machine that is its own (default 60 s); the runner grants more."""
    def mark(test):
        test.limit = seconds
        return test
    return mark


# --- waiting

def wait_for(what, probe, seconds=40, every=0.02):
    """Call probe until it answers something true, and return that.  An exception counts as not yet.  `seconds` are few only where
    being late is what the test is about."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        try:
            value = probe()
            if value:
                return value
        except (OSError, redis.RedisError, pymysql.MySQLError, ValueError, KeyError, IndexError, TypeError) as error:
            value = error
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s for {what}; last seen: {value!r}")
        time.sleep(every)


def stays(what, probe, seconds):
    """The opposite: the condition must hold all that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = probe()
        assert value, f"{what} did not stay so: {value!r}"
        time.sleep(0.05)


def equal(got, want, what=""):
    assert got == want, f"{what + ': ' if what else ''}got {got!r}, want {want!r}"


def app_keys(client):
    """All keys but ours."""
    return sorted(key.decode() for key in client.keys("*") if not key.startswith(b"sluice:"))


# --- lanes and versions

def crc16(data):
    """CRC-16/XMODEM, as Redis Cluster has it."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


assert crc16(b"123456789") == 0x31C3


def lane_of(prefix, key, lanes):
    """The stream of a row; key: the primary key's values joined by ':'."""
    return f"{prefix}:{crc16(str(key).encode()) % lanes}"


def stream_id(text):
    """'12-3' as something that compares."""
    text = text.decode() if isinstance(text, bytes) else text
    return tuple(int(part) for part in text.split("-"))


def expand(streams):
    """'wb:{0..2}' -> the names."""
    match = re.search(r"(?<!\{)\{(\d+)\.\.(\d+)\}", streams)
    if not match:
        return [streams.replace("{{", "{").replace("}}", "}")]
    return [name for i in range(int(match[1]), int(match[2]) + 1)
            for name in expand(streams[:match.start()] + str(i) + streams[match.end():])]


# --- processes

_libc = ctypes.CDLL(None)
_running = []


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Process:
    """A child in its own session.  Start it only from the main thread: it dies with the thread that did."""

    def __init__(self, argv, log, env=None):
        self.argv, self.log, self.env, self.child = argv, log, env, None

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                          start_new_session=True, preexec_fn=_die_with_parent)
        _running.append(self)
        return self

    def alive(self):
        return self.child is not None and self.child.poll() is None

    @property
    def pid(self):
        return self.child.pid

    def signal(self, number):
        if self.alive():
            self.child.send_signal(number)

    def kill(self):
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()

    def wait(self, seconds=40):
        """The exit code (negative: the signal)."""
        try:
            return self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.argv[0]} did not exit within {seconds} s") from None

    def stop(self, seconds=40):
        self.signal(signal.SIGTERM)
        return self.wait(seconds)


@atexit.register
def kill_all():
    for process in _running:
        process.kill()
    _running.clear()


_ports, _next_port = [], random.Random()


def free_port():
    """One that is ours as long as this process lives, also while no server of ours listens on it: below those that the kernel
    gives away by itself, and no other test can take it, since a name of the machine goes with it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low = int(file.read().split()[0])
    first, last = (low // 2, low) if low > 4096 else (49152, 65536)
    for _ in range(1000):
        port = _next_port.randrange(first, last)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0sluice-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _ports.append(name)
        return port
    raise OSError("no free port")


def remove(path):
    shutil.rmtree(path, ignore_errors=True)


def readme_rights():
    """The rights that README.md asks for: (words of ACL SETUSER, GRANTs on shop.users and shop.*)."""
    with open(os.path.join(TOP, "README.md")) as file:
        text = file.read()
    acl = " ".join(re.findall(r"^ACL SETUSER sluice (.*?)^```", text, re.M | re.S)).split()
    grants = {what: rights for rights, what in re.findall(r"^GRANT (.+?) ON shop\.(users|\*) TO sluice@'%';", text, re.M)}
    return [word.replace("PASSWORD", PASSWORD) for word in acl], grants


ACL, GRANTS = readme_rights()


class Redis(Process):
    """durable: what it acknowledged survives kill -9.  sluice comes as the README's user, tests as the default one."""
    numbers = itertools.count()

    def __init__(self, directory, *options, durable=False, command=None):
        if command is None:
            command = other_server(REDIS)[0] if REDIS else ("redis-server",)
        self.port = free_port()
        self.dir = os.path.join(directory, f"redis{next(self.numbers)}")
        os.makedirs(self.dir)
        argv = [*command, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--save", "",
                "--appendonly", "yes" if durable else "no", "--appendfsync", "always", *options, "--user", "sluice", *ACL]
        super().__init__(argv, self.dir + "/log")

    def up(self):
        self.start()
        wait_for("redis", lambda: self.client().ping())
        return self

    def client(self, **options):
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=20, **options)

    def allow(self, pattern):
        """Cache keys of a test, beside the README's."""
        if "~" + pattern not in self.argv:
            self.argv.append("~" + pattern)
            self.client().execute_command("ACL", "SETUSER", "sluice", "~" + pattern)

    def url_at(self, port):
        """Where a proxy listens."""
        return f"redis://sluice:{PASSWORD}@127.0.0.1:{port}"

    @property
    def url(self):
        return self.url_at(self.port)


ACCOUNT = f"""FLUSH PRIVILEGES;
CREATE USER app@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO app@'%' WITH GRANT OPTION;
CREATE USER sluice@'%' IDENTIFIED BY '{PASSWORD}';
"""
ME = pwd.getpwuid(os.getuid()).pw_name


def mariadb_template():
    """A data directory with the accounts, made once under build/ and copied for each server."""
    template = os.path.join(BUILD, "run", f"mariadb-template-{crc16(ACCOUNT.encode()):04x}")
    os.makedirs(os.path.dirname(template), exist_ok=True)
    with open(template + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(template):
            return template
        fresh, sql = template + ".new", template + ".sql"
        remove(fresh)
        with open(sql, "w") as out:
            out.write(ACCOUNT)
        made = subprocess.run(["mariadb-install-db", "--no-defaults", f"--user={ME}", f"--datadir={fresh}", "--innodb-log-file-size=8M",
                               "--skip-test-db", "--auth-root-authentication-method=normal", f"--extra-file={sql}"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if made.returncode != 0:
            sys.exit("mariadb-install-db failed:\n" + made.stdout.decode(errors="replace"))
        os.rename(fresh, template)
    return template


class MariaDB(Process):
    """name: another server than this Debian's MariaDB, MySQL perhaps."""
    numbers = itertools.count()

    def __init__(self, directory, *options, name=MYSQL, datadir=None):
        self.port = free_port()
        self.dir = os.path.join(directory, f"mariadb{next(self.numbers)}")
        os.makedirs(self.dir)
        command, fresh = other_server(name) if name else (("mariadbd", "--no-defaults", f"--user={ME}"), None)
        self.first = []
        if name:
            with open(self.dir + "/accounts.sql", "w") as out:
                out.write(ACCOUNT)
            self.first = [f"--init-file={self.dir}/accounts.sql"]
        subprocess.run(["cp", "-a", "--reflink=auto", datadir or fresh or mariadb_template(), self.dir + "/data"], check=True)
        # a tmpdir of its own: a server that starts removes the temporary tables of all that share one, and those die of it
        os.makedirs(self.dir + "/tmp")
        # the socket's path is relative to the data directory: absolute ones can be too long
        super().__init__([*command, f"--datadir={self.dir}/data", f"--port={self.port}", "--socket=s", f"--tmpdir={self.dir}/tmp", f"--pid-file={self.dir}/pid",
                          "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=64M",
                          "--innodb-flush-log-at-trx-commit=2", "--max-connections=200", *options], self.dir + "/log")

    def up(self):
        self.argv += self.first
        self.start()
        wait_for("mariadb", lambda: self.connect().close() or True, 40)
        self.argv = [word for word in self.argv if word not in self.first]
        self.first = []
        return self

    def connect(self, database=None, user="app", password=PASSWORD, **options):
        return pymysql.connect(host="127.0.0.1", port=self.port, user=user, password=password, database=database,
                               autocommit=True, charset="utf8mb4", connect_timeout=5, read_timeout=60, **options)

    def sql(self, statement, arguments=None, database=None, cursor=None):
        connection = self.connect(database)
        try:
            with connection.cursor(cursor) as c:
                c.execute(statement, arguments)
                return c.fetchall()
        finally:
            connection.close()

    def grant(self, database, table="*"):
        """The README's GRANT for one table, or the one for the whole database, to the account of sluice."""
        self.sql(f"GRANT {GRANTS['*' if table == '*' else 'users']} ON `{database}`.{table} TO sluice@'%'")

    def url_at(self, port, database):
        return f"mysql://sluice:{PASSWORD}@127.0.0.1:{port}/{database}"

    def url(self, database):
        return self.url_at(self.port, database)


def other_server(name):
    """(command, datadir) of a server that this Debian doesn't have; see tests/support/server."""
    got = subprocess.run([os.path.join(TOP, "tests", "support", "server"), name], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if got.returncode != 0:
        raise Skip(got.stderr.strip().splitlines()[-1] if got.stderr.strip() else f"no {name}")
    words = got.stdout.splitlines()
    datadir = words.pop(0)[len("datadir="):] if words[0].startswith("datadir=") else None
    return words, datadir


def other_mysql(directory, name):
    """Such a server with the accounts, running."""
    return MariaDB(directory, name=name).up()


class Sluice(Process):
    """The sluice under test."""

    def __init__(self, config, log, env=None):
        self.config = config
        super().__init__([SLUICE, "run", config], log, {**os.environ, **(env or {})})

    def start(self):
        self.log_from = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        return super().start()

    def text(self, whole=False):
        """The log since the last start."""
        with open(self.log, "rb") as log:
            log.seek(0 if whole else self.log_from)
            return log.read().decode(errors="replace")

    def events(self, name):
        return [line for line in self.text().splitlines() if f"event={name} " in line + " "]

    def logged(self, *words, seconds=40):
        """Wait for a log line that holds all the words."""
        return wait_for(f"a log line with {words}",
                        lambda: [line for line in self.text().splitlines() if all(word in line for word in words)], seconds)[0]

    def port(self, seconds=40):
        pattern = re.compile(r"http_listening.*?\bport\W+(\d+)")

        def found():
            assert self.alive(), f"sluice ended with {self.child.returncode}: {self.text()[-2000:]}"
            return pattern.search(self.text())
        return int(wait_for("the HTTP port in the log", found, seconds)[1])

    def get(self, path):
        """(status, text) of a page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port()}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self):
        return json.loads(self.get("/status")[1])

    def metrics(self):
        """{'name{labels}': value}"""
        lines = (line.rsplit(" ", 1) for line in self.get("/metrics")[1].splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in lines}

    def metric(self, name, **labels):
        """The sum of the series with that name and these labels."""
        return sum(value for series, value in self.metrics().items() if series.split("{")[0] == name and
                   all(f'{label}="{wanted}"' in series for label, wanted in labels.items()))

    def rss_mib(self):
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


# --- one test

@functools.cache
def own_tables():
    """The statements of `sluice schema`."""
    text = subprocess.run([SLUICE, "schema"], check=True, capture_output=True, text=True).stdout
    return [part.strip() for part in re.sub(r"^--.*$", "", text, flags=re.M).split(";\n") if part.strip()]


def merge(base, more):
    """more over base, None removes."""
    out = dict(base)
    for key, value in more.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


USERS = """CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(64), email VARCHAR(128),
	credits BIGINT NOT NULL DEFAULT 0, logins INT UNSIGNED) CHARACTER SET utf8mb4"""


class Case:
    """A test's own database, key prefix and processes, on the servers of its file."""

    def __init__(self, servers, name, directory):
        self.servers, self.name, self.dir = servers, name, directory
        self.db = "d_" + re.sub(r"\W", "_", name)[:50]
        self.prefix = f"wb:{crc16(name.encode()):04x}"
        self.redis_server, self.mysql = servers.redis, servers.mysql
        self.sluices, self.own, self.numbers = [], [], itertools.count()
        os.makedirs(directory)
        self.mysql.sql(f"DROP DATABASE IF EXISTS {self.db}")
        self.database()

    def database(self):
        """An empty database with the tables of sluice and the README's rights on it, on the server of now."""
        self.mysql.sql(f"CREATE DATABASE {self.db}")
        self.mysql.grant(self.db)
        for statement in own_tables():
            self.sql(statement)

    def drop_own_tables(self):
        """For an account that may create them."""
        names = [row[0] for row in self.sql("SHOW TABLES LIKE 'sluice\\_%%'")]
        if names:
            self.sql(f"DROP TABLE {', '.join(names)}")

    @property
    def redis(self):
        return self.redis_server.client()

    def own_redis(self, *options, **keywords):
        """A Redis of this test alone, used from now on."""
        self.redis_server = Redis(self.dir, *options, **keywords).up()
        self.own.append(self.redis_server)
        return self.redis_server

    def own_mysql(self, *options):
        self.mysql = MariaDB(self.dir, *options).up()
        self.own.append(self.mysql)
        self.database()
        return self.mysql

    def sql(self, statement, arguments=None):
        """As the administrator; sluice gets the README's rights on a table that is created."""
        rows = self.mysql.sql(statement, arguments, self.db)
        created = re.match(r"\s*CREATE (?:OR REPLACE )?TABLE (?:IF NOT EXISTS )?(\w+|`(?:[^`]|``)+`)", statement)
        if created:
            self.mysql.grant(self.db, created[1])
        return rows

    def row(self, statement, arguments=None):
        rows = self.sql(statement, arguments)
        return rows[0] if rows else None

    def users(self):
        self.sql(USERS)

    # the configuration

    def settings(self, **more):
        """The small configuration over one `users` table; keywords are merged over it."""
        base = {
            "redis": {"url": self.redis_server.url},
            "mysql": {"url": self.mysql.url(self.db)},
            "http": {"listen": "127.0.0.1:0"},
            "sources": [{"streams": self.prefix + ":users:{0..1}", "table": "users"}],
            "tables": {"users": {}},
        }
        return merge(base, more)

    def write_config(self, **more):
        self.config = self.settings(**more)
        for table in self.config["tables"].values():
            for template in table.get("invalidate", ()):
                key = template if isinstance(template, str) else template["key"]
                pattern = re.sub(r"\{[^{}]*\}", "*", key)
                for server in [self.redis_server, *self.own]:
                    if isinstance(server, Redis) and server.alive() and pattern[0] != "*":
                        server.allow(pattern)
        path = os.path.join(self.dir, f"config{next(self.numbers)}.yaml")
        with open(path, "w") as out:
            yaml.safe_dump(self.config, out, allow_unicode=True, width=10000)
        return path

    def write_text(self, text, name="text.yaml"):
        path = os.path.join(self.dir, name)
        with open(path, "w") as out:
            out.write(text)
        return path

    def sluice(self, path=None, env=None, start=True, **more):
        """A running sluice; several of one test may share a file."""
        process = Sluice(path or self.write_config(**more), os.path.join(self.dir, f"sluice{len(self.sluices)}.log"), env)
        self.sluices.append(process)
        return process.start() if start else process

    def command(self, *words, env=None, seconds=30):
        """Run `sluice words`; returns (exit code, stdout, stderr)."""
        done = subprocess.run([SLUICE, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds * PATIENCE,
                              env={**os.environ, **(env or {})})
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def lane(self, what, stream, *words):
        """`sluice lane resume|skip|ack` of a stream's lane."""
        return self.command("lane", what, self.sluices[-1].argv[-1], f"default/redis/{stream}", *words)

    def lane_status(self, stream):
        """The lane's part of /status, of the process that has it or else of any."""
        lanes = [lane for process in self.sluices if process.alive() for lane in process.status()["lanes"] if lane["stream"] == stream]
        return max(lanes, key=lambda lane: lane["state"] != "free")

    def lane_state(self, stream):
        return self.lane_status(stream)["state"]

    # the stream's side

    def streams(self):
        return [name for source in self.config["sources"] for name in expand(source["streams"])]

    def stream(self, key=0):
        """The lane of a user, in the small configuration."""
        return lane_of(self.prefix + ":users", key, 2)

    def user(self, key, **fields):
        """Add a change of user `key`: t.user(7, name="Bob", _op="update")."""
        return self.redis.xadd(self.stream(key), {**{k: v for k, v in fields.items() if k[0] == "_"}, "id": key,
                                                  **{k: v for k, v in fields.items() if k[0] != "_"}})

    def add_many(self, entries):
        """entries: (stream, fields)"""
        client, entries = self.redis, iter(entries)
        while chunk := list(itertools.islice(entries, 500)):
            pipe = client.pipeline(transaction=False)
            for stream, fields in chunk:
                pipe.xadd(stream, fields)
            pipe.execute()

    # the database's side

    def ledger(self):
        """{stream: row}; empty before our tables are there."""
        rows = self.own_table("sluice_ledger")
        return {text_of(row["lane"]).split("/", 2)[2]: row for row in rows}

    def last_id(self, stream):
        try:
            return stream_id(self.redis.xinfo_stream(stream)["last-generated-id"])
        except redis.ResponseError:
            return (0, 0)

    def behind(self, streams=None):
        """The lanes whose entries are not all written and invalidated."""
        ledger = self.ledger()
        return [name for name in streams or self.streams() if self.last_id(name) > (0, 0) and
                (name not in ledger or stream_id(ledger[name]["done"]) < self.last_id(name))]

    def settle(self, seconds=40, streams=None):
        """Wait until everything added is written, and its keys deleted."""
        def settled():
            for process in self.sluices:
                if process.child and process.child.poll() not in (None, 0, 75, -signal.SIGKILL):
                    raise RuntimeError(f"sluice ended with {process.child.returncode}:\n{process.text()[-3000:]}")
            return not self.behind(streams)
        wait_for("every lane written to its end", settled, seconds, 0.05)

    def own_table(self, name):
        try:
            return self.mysql.sql(f"SELECT * FROM {name} ORDER BY 1", None, self.db, pymysql.cursors.DictCursor)
        except pymysql.ProgrammingError as error:
            if error.args[0] == 1146:
                return ()
            raise

    def dead(self):
        """The dead letters, in the order they were written."""
        return self.own_table("sluice_dead_letter")

    def reasons(self):
        return sorted(text_of(letter["reason"]) for letter in self.dead())

    def close(self, failed):
        for process in self.sluices + self.own:
            process.kill()
        if failed:
            return
        self.servers.mysql.sql(f"DROP DATABASE IF EXISTS {self.db}")
        for name in self.servers.redis.client().scan_iter(self.prefix + "*", 1000):
            self.servers.redis.client().unlink(name)
        remove(self.dir)


def text_of(value):
    return value.decode() if isinstance(value, (bytes, bytearray)) else value


class Servers:
    """The Redis and the MariaDB of one file of tests."""

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.redis, self.mysql = Redis(directory).up(), MariaDB(directory).up()


# --- C programs that are integration tests ---

FLAGS = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"], "cover": ["--coverage"]}
PACKAGES = "hiredis yyjson libmicrohttpd yaml-0.1".split()


def build_program(name, *more):
    """tests/integration/NAME.c, and more files, against the library of this variant, made anew when one of them is newer."""
    variant = os.environ.get("VARIANT") or "release"
    program, library = os.path.join(BUILD, variant, name), os.path.join(BUILD, variant, "libsluice.a")
    sources = [os.path.join(TOP, "tests/integration", file + ".c") for file in (name, *more)]
    headers = glob.glob(os.path.join(TOP, "tests/integration", "*.h"))
    if os.path.exists(program) and os.path.getmtime(program) > max(map(os.path.getmtime, [library, *sources, *headers])):
        return program
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.join(BUILD, "deps/lib/pkgconfig") + ":" + os.environ.get("PKG_CONFIG_PATH", "")}
    client = "libmariadb" if subprocess.run(["pkg-config", "--exists", "libmariadb"]).returncode == 0 else "mysqlclient"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", *PACKAGES, client], env=env, check=True, capture_output=True, text=True)
    subprocess.run([os.environ.get("CC") or "cc", "-std=gnu11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-pthread", "-I" + TOP,
                    *FLAGS.get(variant, []), *sources, library, "-o", program, *shlex.split(flags.stdout), "-lm"], check=True)
    return program
