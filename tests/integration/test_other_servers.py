"""The same, short, on the other servers: fetched where they can be had, else skipped by name."""
from support import MariaDB, equal, limit, other_server, wait_for


def short_life(t):
    """Operations, versions, dead letters and a kill, against whatever servers the case has."""
    t.sql("""CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(64), must INT NOT NULL, credits BIGINT NOT NULL DEFAULT 0,
             low INT UNSIGNED NOT NULL DEFAULT 10, doc JSON, email VARCHAR(20) UNIQUE, CHECK (credits < 1000000)) CHARACTER SET utf8mb4""")
    t.sql("CREATE TABLE notes (id VARCHAR(40) PRIMARY KEY, v INT, ver BIGINT UNSIGNED) CHARACTER SET utf8mb4")
    notes = t.prefix + ":notes"
    t.sql("CREATE TABLE jobs (id INT PRIMARY KEY, v INT NOT NULL DEFAULT 0)")
    jobs = t.prefix + ":jobs"
    process = t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users"}, {"streams": notes, "table": "notes"},
                                {"streams": jobs, "table": "jobs"}],
                       tables={"users": {"invalidate": ["user:{id}"]}, "notes": {"version": "ver"}, "jobs": {"on_poison": "park"}})
    for key in range(300):
        t.user(key, name=f"n{key} ☃", must=key, doc='{"a": 1}'), t.user(key, _op="incr", credits=key), t.user(key, _op="incr", low=-1)
        t.redis.xadd(notes, {"id": f"k{key % 50}", "v": key, "_version": 1000 + key % 7})
        if key % 100 == 50:
            process.kill()
            process.start()
    t.user(1, _op="incr", low=-100), t.user(2, must="x"), t.user(999, name="no must"), t.user(3, credits=2000000), t.user(4, nosuch=1)
    t.user(5, email="e"), t.settle(), t.user(6, email="e"), t.user(7, _op="delete")
    t.settle(40)
    equal(t.row("SELECT COUNT(*), SUM(credits), MIN(low), MAX(low) FROM users"), (299, 300 * 299 // 2 - 7, 9, 9))
    equal(t.row("SELECT COUNT(*), MIN(ver), MAX(ver) FROM notes"), (50, 1005, 1006))
    equal(t.reasons(), sorted(["out_of_range", "bad_value", "no_default", "check", "unknown_column", "duplicate"]))
    for fields in ({"late": 1}, {"v": 2}, {"v": "much"}, {"v": 3}):  # the first and the third are refused
        t.redis.xadd(jobs, {"id": 1, "_op": "incr" if "late" not in fields else "upsert", **fields})
    t.settle()
    states = lambda: t.sql("SELECT state, COUNT(*) FROM sluice_dead_letter WHERE table_name = 'jobs' GROUP BY state")
    equal((t.sql("SELECT * FROM jobs"), states()), ((), (("parked", 4),)))
    t.sql("ALTER TABLE jobs ADD late INT")
    equal(t.command("dead", "replay", process.argv[-1], "--table", "jobs")[0], 0)
    wait_for("it goes on to the next refusal", lambda: sorted(states()) == [("closed", 2), ("parked", 2)])
    equal(t.command("dead", "drop", process.argv[-1], "--table", "jobs", "--reason", "bad_value")[0], 0)
    wait_for("what waited is applied", lambda: states() == (("closed", 3),))
    equal(t.sql("SELECT * FROM jobs"), ((1, 5, 1),))
    for stream in t.streams():
        group = lambda: next(g for g in t.redis.xinfo_groups(stream) if g["name"] == b"sluice-default")
        wait_for("the lag is 0", lambda: group()["lag"] == 0 and t.redis.xlen(stream) == 1)


@limit(150)
def test_a_short_life_on_the_servers_of_this_run(t):
    short_life(t)


@limit(150)
def test_redis_8(t):
    t.own_redis(command=other_server("redis8")[0])
    short_life(t)


@limit(150)
def test_valkey_8(t):
    t.own_redis(command=other_server("valkey8")[0])
    short_life(t)


def with_mysql(t, name):
    t.mysql = MariaDB(t.dir, name=name).up()
    t.own.append(t.mysql)
    t.database()
    short_life(t)


@limit(240)
def test_mariadb_11(t):
    with_mysql(t, "mariadb11")


@limit(240)
def test_mysql_9(t):
    with_mysql(t, "mysql9")
