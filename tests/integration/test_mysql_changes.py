"""A MySQL that is another one than before: commits lost at a failover, its ledger gone, read-only, killed, full, locked,
altered under load, with another password."""
import os, re, shutil, subprocess, threading, time
from support import MariaDB, PASSWORD, Redis, equal, limit, stays, text_of, wait_for


def names(t):
    return dict(t.sql("SELECT id, name FROM users ORDER BY id"))


def own(t, *options):
    """A server of this test alone whose commits are on disk when they are answered."""
    server = t.own_mysql("--innodb-flush-log-at-trx-commit=1", *options)
    t.users()
    return server


def copy_of(server):
    """Its data as it is now: what a replica that stops receiving would have."""
    path = server.dir + "/copy"
    shutil.rmtree(path, ignore_errors=True)
    server.stop()
    subprocess.run(["cp", "-a", server.dir + "/data", path], check=True)
    server.up()
    return path


def go_back(server, copy):
    """The replica is promoted: the commits since then are lost."""
    server.kill()
    shutil.rmtree(server.dir + "/data")
    subprocess.run(["cp", "-a", copy, server.dir + "/data"], check=True)
    server.up()


def alarm(t, here, why):
    wait_for(f"the alarm {why}", lambda: t.lane_status(here)["alarm"] == why, 30)
    return t.sluices[-1].logged("event=lane_alarm", f"why={why}", here)


def position(t, here):
    return text_of(t.ledger()[here]["position"])


def flow(t, lanes=2, seconds=3.0):
    """Increments of 20 rows for a while, in the background; answers what stops it and tells the sums."""
    sums, stop = {}, threading.Event()

    def run():
        n, client = 0, t.redis
        while not stop.is_set():
            key = n % 20
            client.xadd(t.stream(key), {"_op": "incr", "id": key, "credits": 1})
            sums[key] = sums.get(key, 0) + 1
            n += 1
            time.sleep(0.002)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def end():
        stop.set()
        thread.join()
        return sums
    return end


# --- commits that are lost

@limit(90)
def test_with_keep_a_failover_that_loses_commits_loses_and_doubles_nothing(t):
    server = own(t)
    process = t.sluice(keep="10m", tables={"users": {"invalidate": ["user:{id}"]}})
    here = t.stream(1)
    for n in range(20):
        t.user(1, _op="incr", credits=1)
    t.settle()
    copy = copy_of(server)
    t.settle()
    before = position(t, here)
    for n in range(30):
        t.user(1, _op="incr", credits=1), t.user(2, name=f"n{n}")
    t.settle()
    after = position(t, here)
    wait_for("the board knows", lambda: next(g for g in t.redis.xinfo_groups(here) if g["name"] == b"sluice-default")["last-delivered-id"].decode() == after)
    for key in (1, 2):
        t.redis.set(f"user:{key}", "of the lost future")
    go_back(server, copy)
    line = alarm(t, here, "store_rollback")
    assert before in line and after in line and "lost" not in line.split("lost commits")[1], line
    t.settle()
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (50,))
    equal(t.row("SELECT name FROM users WHERE id = 2"), ("n29",))
    wait_for("the keys are gone", lambda: not t.redis.exists("user:1", "user:2"))
    equal(t.dead(), ())
    equal(t.lane("ack", here)[0], 0)
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (51,))
    assert process.alive()


@limit(90)
def test_the_same_while_sluice_is_away(t):
    """The notice board tells the next owner."""
    server = own(t)
    process = t.sluice(keep="10m")
    here = t.stream(1)
    t.user(1, _op="incr", credits=1)
    t.settle()
    copy = copy_of(server)
    for n in range(30):
        t.user(1, _op="incr", credits=1)
    t.settle()
    after = position(t, here)
    wait_for("the board knows", lambda: next(g for g in t.redis.xinfo_groups(here) if g["name"] == b"sluice-default")["last-delivered-id"].decode() == after)
    process.kill()
    go_back(server, copy)
    process.start()
    line = alarm(t, here, "store_rollback")
    assert after in line, line
    t.settle()
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (31,))
    process.stop()
    process.start()
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (32,))


@limit(90)
def test_without_keep_what_a_failover_loses_is_named(t):
    server = own(t)
    t.sluice()
    here = t.stream(1)
    t.user(1, _op="incr", credits=1)
    t.settle()
    copy = copy_of(server)
    before = position(t, here)
    for n in range(30):
        t.user(1, _op="incr", credits=1)
        time.sleep(0.05)
    t.settle()
    wait_for("trimmed", lambda: t.redis.xlen(here) == 1)
    after = position(t, here)
    go_back(server, copy)
    line = alarm(t, here, "store_rollback")
    assert f"between {before} and {after}" in line and "keep is too short" in line, line
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (3,), "the first, the witness, and the new one")


@limit(90)
def test_what_a_failover_loses_for_good_empties_the_cache_where_that_is_allowed(t):
    server = own(t)
    cache = Redis(t.dir).up()
    t.own.append(cache)
    process = t.sluice(cache={"url": cache.url}, tables={"users": {"invalidate": ["user:{id}"]}}, on_cache_lost="flush")
    t.user(1, name="old")
    t.settle()
    process.stop()
    copy = copy_of(server)
    process.start()
    lost = next(key for key in range(2, 100) if t.stream(key) == t.stream(1))
    t.user(lost, name="new")
    t.user(1, name="new")
    t.settle()
    wait_for("trimmed", lambda: t.redis.xlen(t.stream(1)) == 1)
    cache.client().set(f"user:{lost}", "new")  # what a reader filled from the commit that is lost now
    go_back(server, copy)
    process.logged("event=cache_flushed")
    wait_for("it is empty", lambda: not cache.client().exists(f"user:{lost}"))
    wait_for("that alarm stays", lambda: t.lane_status(t.stream(1))["alarm"] == "store_rollback")
    wait_for("the ledger owes no flush", lambda: t.row("SELECT alarm FROM sluice_ledger WHERE lane = %s", f"default/redis/{t.stream(1)}") == ("store_rollback",))


@limit(120)
def test_under_load_with_failovers_every_increment_counts_once(t):
    server = own(t)
    process = t.sluice(keep="10m", workers=2)
    end = flow(t)
    wait_for("it flows", lambda: len(t.ledger()) == 2 and t.row("SELECT SUM(credits) FROM users")[0])
    for round in range(2):
        copy = copy_of(server)
        wait_for("it goes on", lambda: process.status()["breakers"]["mysql"]["state"] == "closed")
        time.sleep(3)
        go_back(server, copy)
        time.sleep(1)
    sums = end()
    t.settle(40)
    equal(dict(t.sql("SELECT id, credits FROM users")), sums)
    equal(t.dead(), ())


@limit(120)
def test_a_replica_that_lags_is_promoted(t):
    """Two servers with real replication; the old one's address leads to the new one."""
    server = own(t, "--log-bin=b", "--server-id=1", "--binlog-format=ROW")
    process = t.sluice(keep="10m", tables={"users": {"invalidate": ["user:{id}"]}})
    here = t.stream(1)
    t.user(1, _op="incr", credits=1)
    t.settle()
    copy = copy_of(server)
    other = MariaDB(t.dir, "--log-bin=b", "--server-id=2", "--binlog-format=ROW", datadir=copy)
    t.own.append(other.up())
    file, at = server.sql("SHOW MASTER STATUS")[0][:2]
    other.sql(f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={server.port}, MASTER_USER='app', MASTER_PASSWORD='{PASSWORD}',"
              f" MASTER_LOG_FILE='{file}', MASTER_LOG_POS={at}")
    other.sql("START SLAVE")
    for n in range(10):
        t.user(1, _op="incr", credits=1)
    t.settle()
    wait_for("it follows", lambda: other.sql("SELECT credits FROM users WHERE id = 1", None, t.db) == t.sql("SELECT credits FROM users WHERE id = 1"), 30)
    other.sql("STOP SLAVE")
    for n in range(25):
        t.user(1, _op="incr", credits=1)
    t.settle()
    wait_for("the board knows", lambda: next(g for g in t.redis.xinfo_groups(here) if g["name"] == b"sluice-default")["last-delivered-id"].decode() == position(t, here))
    server.kill()
    port, other_argv = server.port, [word for word in other.argv if not word.startswith("--port=")]
    other.kill()
    other.argv, other.port, t.mysql = [*other_argv, f"--port={port}"], port, other
    other.up()
    alarm(t, here, "store_rollback")
    t.settle(40)
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (36,))
    assert process.alive()


def test_check_warns_of_replicas_without_keep(t):
    server = own(t, "--log-bin=b", "--server-id=1")
    other = MariaDB(t.dir, "--server-id=2")
    t.own.append(other.up())
    other.sql(f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={server.port}, MASTER_USER='app', MASTER_PASSWORD='{PASSWORD}'")
    code, out, err = t.command("check", t.write_config(), "--connect")
    assert "`keep`" not in out + err, out + err
    other.sql("START SLAVE")
    server.sql("GRANT BINLOG MONITOR, REPLICATION MASTER ADMIN ON *.* TO sluice@'%'")
    wait_for("it is named", lambda: "`keep`" in "".join(t.command("check", t.write_config(), "--connect")[1:]), 30)
    code, out, err = t.command("check", t.write_config(keep="5m"), "--connect")
    assert "`keep`" not in out + err, out + err


# --- the ledger

def test_a_ledger_that_is_gone_halts_its_lanes(t):
    server = own(t)
    t.mysql.sql(f"GRANT CREATE ON {t.db}.* TO sluice@'%'")
    process = t.sluice()
    here = t.stream(1)
    t.user(1, _op="incr", credits=1)
    t.settle()
    wait_for("traces of us", lambda: t.redis.exists(f"sluice:default:id:{here}"))
    process.stop()
    t.sql("DROP TABLE sluice_ledger")
    t.user(1, _op="incr", credits=1)
    process.start()
    wait_for("it halts", lambda: t.lane_state(here) == "halted" and t.lane_status(here)["why"] == "ledger_lost", 30)
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (1,))
    assert server.alive()


def test_a_ledger_dropped_while_we_run_halts_too(t):
    own(t)
    t.mysql.sql(f"GRANT CREATE ON {t.db}.* TO sluice@'%'")
    process = t.sluice()
    here = t.stream(1)
    t.user(1, _op="incr", credits=1)
    t.settle()
    wait_for("traces of us", lambda: t.redis.exists(f"sluice:default:id:{here}"))
    t.sql("DROP TABLE sluice_ledger")
    t.user(1, _op="incr", credits=1)
    wait_for("it halts", lambda: t.lane_state(here) == "halted" and t.lane_status(here)["why"] == "ledger_lost", 40)
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (1,))
    assert process.alive()


# --- a server that refuses, or goes in the middle

def test_a_switch_to_another_server_behind_the_name_is_seen_by_read_only(t):
    """The old primary stays up, read-only; the name leads elsewhere at the next connect."""
    server = own(t)
    server.sql("CREATE USER plain@'%' IDENTIFIED BY 'plain'")
    server.sql(f"GRANT ALL ON {t.db}.* TO plain@'%'")
    process = t.sluice(mysql={"url": f"mysql://plain:plain@127.0.0.1:{server.port}/{t.db}"})
    t.user(1, name="a")
    t.settle()
    server.sql("SET GLOBAL read_only = 1")
    t.user(1, name="b")
    process.logged("event=store_retry", "code=1290")
    wait_for("it connects anew", lambda: len(process.events("store_lost")) > 1)
    server.sql("SET GLOBAL read_only = 0")
    t.settle()
    equal((names(t), t.dead()), ({1: "b"}, ()))


@limit(90)
def test_sessions_killed_in_the_middle_count_everything_once(t):
    server = own(t)
    t.sluice(workers=2)
    end, until = flow(t), time.monotonic() + 6
    while time.monotonic() < until:
        for (thread,) in server.sql("SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()", (t.db,)):
            try:
                server.sql(f"KILL {thread}")
            except Exception:
                pass
        time.sleep(0.15)
    sums = end()
    t.settle(30)
    equal(dict(t.sql("SELECT id, credits FROM users")), sums)
    equal(t.dead(), ())


@limit(90)
def test_deadlocks_from_outside_count_everything_once(t):
    own(t)
    process = t.sluice()
    end, stop = flow(t), threading.Event()
    wait_for("rows", lambda: t.row("SELECT COUNT(*) FROM users")[0] >= 20)
    t.sql("CREATE TABLE heavy (id INT)")  # the lighter transaction is the one that must go

    def provoke():
        while not stop.is_set():
            session = t.mysql.connect(t.db)
            try:
                session.begin()
                cursor = session.cursor()
                cursor.execute("INSERT INTO heavy SELECT seq FROM seq_1_to_2000")
                for key in (19, 10, 5, 0):
                    cursor.execute("UPDATE users SET name = 'x' WHERE id = %s", (key,))
                    time.sleep(0.01)
                session.rollback()
            except Exception:
                pass
            session.close()
    threads = [threading.Thread(target=provoke, daemon=True) for _ in range(3)]
    [thread.start() for thread in threads]
    wait_for("a deadlock", lambda: "code=1213" in process.text(), 40)
    stop.set()
    [thread.join() for thread in threads]
    sums = end()
    t.settle(30)
    equal(dict(t.sql("SELECT id, credits FROM users")), sums)
    equal(t.dead(), ())


def test_a_full_disk_is_waited_for(t):
    """The table's file may grow no further: as a full disk, error 1114 or 1021."""
    server = own(t, "--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:16M")
    t.sql("ALTER TABLE users MODIFY email TEXT")
    process = t.sluice()
    t.user(1, name="a")
    t.settle()
    t.sql("CREATE TABLE ballast (id INT AUTO_INCREMENT PRIMARY KEY, x LONGTEXT)")
    size = 1 << 20
    while size > 1 << 14:
        try:
            t.sql("INSERT INTO ballast (x) VALUES (REPEAT('x', %s))", (size,))
        except Exception:
            size //= 2
    t.add_many((t.stream(key), {"id": key, "name": "b", "email": "y" * 20_000}) for key in range(100, 160))
    process.logged("event=store_retry", seconds=30)
    wait_for("it is visible", lambda: process.get("/healthz")[0] == 503)
    equal(t.dead(), ())
    server.stop()
    server.argv = [word.replace(":max:16M", "") for word in server.argv]  # a larger disk
    server.up()
    t.settle(40)
    equal(t.row("SELECT COUNT(*) FROM users WHERE name = 'b'"), (60,))
    equal(t.dead(), ())
    assert server.alive()


# --- definitions under load

@limit(90)
def test_alter_table_and_a_table_swap_under_load_lose_nothing(t):
    own(t)
    t.sluice()
    end = flow(t)
    wait_for("it flows", lambda: t.row("SELECT COUNT(*) FROM users")[0] >= 20)
    t.sql("ALTER TABLE users ADD COLUMN note VARCHAR(20), MODIFY name VARCHAR(200)")
    # as gh-ost: a copy with the same rows takes the table's place in one step, under a lock
    session = t.mysql.connect(t.db)
    cursor = session.cursor()
    for round in range(3):
        cursor.execute("CREATE TABLE users_gho LIKE users")
        cursor.execute("ALTER TABLE users_gho ADD COLUMN c%s INT" % round)
        cursor.execute("LOCK TABLES users WRITE, users_gho WRITE")
        columns = ", ".join(row[0] for row in t.sql("SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
                                                    " AND table_name = 'users' ORDER BY ordinal_position"))
        cursor.execute(f"INSERT INTO users_gho ({columns}) SELECT {columns} FROM users")
        swap = threading.Thread(target=t.sql, args=("RENAME TABLE users TO users_del%s, users_gho TO users" % round,), daemon=True)
        swap.start()  # it waits, and goes before every writer that waits
        wait_for("it waits", lambda: t.sql("SELECT 1 FROM information_schema.processlist WHERE info LIKE 'RENAME%%' AND state LIKE 'Waiting for table%%'"))
        cursor.execute("UNLOCK TABLES")
        swap.join()
        time.sleep(0.7)
    session.close()
    sums = end()
    t.settle(40)
    equal(dict(t.sql("SELECT id, credits FROM users")), sums)
    equal(t.dead(), ())


def test_a_changed_password_is_read_again(t):
    server = own(t)
    secret = t.write_text("first", "secret")
    server.sql("CREATE USER turn@'%' IDENTIFIED BY 'first'")
    server.sql(f"GRANT ALL ON {t.db}.* TO turn@'%'")
    process = t.sluice(mysql={"url": None, "host": "127.0.0.1", "port": server.port, "user": "turn", "password": "${file:" + secret + "}", "database": t.db})
    t.user(1, name="a")
    t.settle()
    server.sql("ALTER USER turn@'%' IDENTIFIED BY 'second'")
    for (thread,) in server.sql("SELECT id FROM information_schema.processlist WHERE user = 'turn'"):
        server.sql(f"KILL {thread}")
    t.user(1, name="b")
    process.logged("code=1045")
    wait_for("it is visible", lambda: process.get("/healthz")[0] == 503)
    t.write_text("second", "secret")
    t.settle(40)
    equal(names(t), {1: "b"})
    assert "second" not in process.text(True) and "first" not in process.text(True).replace("the first", "")
