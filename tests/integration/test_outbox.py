"""Cache keys and versions that the entries alone don't tell: from the rows before and after, and from the outbox after a crash."""
import random, signal
from cache_functions import HOUR, Cache, deleted, row
from support import MariaDB, Redis, equal, limit, wait_for

TEAM = "team:{team}"


def start(t, *templates, own=True, more_columns="", table=(), **more):
    """A sluice with a cache of its own that can be stopped; answers (process, cache server)."""
    t.sql(f"""CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20), team VARCHAR(20) DEFAULT 'none',
             credits INT NOT NULL DEFAULT 0, ver BIGINT UNSIGNED{more_columns}) CHARACTER SET utf8mb4""")
    server = Redis(t.dir).up()
    t.own.append(server)
    process = t.sluice(cache={"url": server.url}, tables={"users": {"invalidate": list(templates) or [TEAM], **dict(table)}}, **more)
    return process, server


def fill(server, *keys):
    server.client().mset({key: "old" for key in keys})


def left(server):
    return sorted(key.decode() for key in server.client().keys("*"))


def outbox(t):
    return t.own_table("sluice_outbox")


def position(t, stream):
    row = t.ledger().get(stream)
    return row["position"] if row else None


def test_a_key_whose_old_value_only_the_database_knew_goes(t):
    process, server = start(t, TEAM, "user:{id}")
    t.sql("INSERT INTO users (id, name, team) VALUES (7, 'g', 'red')")
    fill(server, "team:red", "team:blue", "team:none", "user:7", "user:8")
    t.user(7, team="blue")
    t.settle()
    equal(left(server), ["team:none", "user:8"])
    t.user(8, name="default")
    t.settle()
    equal(left(server), [], "a default is read back")
    fill(server, "team:blue", "team:none")
    t.user(7, _op="delete"), t.user(8, _op="delete"), t.user(9, _op="delete")
    t.settle()
    equal(left(server), [])
    wait_for("an outbox without rows", lambda: not outbox(t))


def test_what_mysql_computes_is_read_back(t):
    process, server = start(t, "credits:{credits}", "twice:{twice}", more_columns=", twice INT AS (credits * 2) STORED")
    t.user(1, credits=5)
    t.settle()
    fill(server, *(f"credits:{n}" for n in range(10)), *(f"twice:{n}" for n in range(0, 20, 2)))
    t.add_many((t.stream(1), {"_op": "incr", "id": 1, "credits": 1}) for _ in range(3))
    t.settle()
    gone = {f"credits:{n}" for n in range(10)} - set(left(server))
    assert {"credits:5", "credits:8"} <= gone <= {f"credits:{n}" for n in range(5, 9)}, gone
    gone = {f"twice:{n}" for n in range(0, 20, 2)} - set(left(server))
    assert {"twice:10", "twice:16"} <= gone, gone


def test_when_leaves_keys_of_what_did_not_change(t):
    process, server = start(t, {"key": "name:{id}", "when": ["name"]}, {"key": "team:{team}", "when": ["name"]})
    t.user(1, name="a", team="x"), t.settle()
    fill(server, "name:1", "team:x")
    t.user(1, name="a", credits=7), t.settle()
    equal(left(server), ["name:1", "team:x"], "nothing of `when` changed")
    t.user(1, _op="invalidate"), t.settle()
    equal(left(server), [], "asked for")
    fill(server, "name:1", "team:x", "team:y")
    t.user(1, team="y"), t.settle()
    equal(left(server), ["name:1"], "a column of the key changed")
    t.user(1, name="b"), t.settle()
    equal(left(server), [])
    fill(server, "name:1", "team:y")
    t.user(1, _op="delete"), t.settle()
    equal(left(server), [], "a deletion counts")


def test_a_dead_letter_owes_no_key_and_owes_it_when_it_is_applied_again(t):
    process, server = start(t, table={"on_poison": "park"})
    t.user(1, name="a", team="x"), t.settle()
    fill(server, "team:x", "team:y", "team:z")
    t.user(1, name="n" * 30, team="y"), t.user(1, team="z"), t.settle()
    equal(left(server), ["team:x", "team:y", "team:z"])
    t.sql("ALTER TABLE users MODIFY name VARCHAR(40)")
    equal(t.command("dead", "replay", process.argv[-1], "--all")[0], 0)
    wait_for("keys gone", lambda: left(server) == [] or left(server) == ["team:y"])
    wait_for("an outbox without rows", lambda: not outbox(t))


def test_an_entry_with_changes_of_several_rows_and_several_lanes_in_one_batch(t):
    process, server = start(t, sources=[{"streams": t.prefix + ":l:{0..3}", "table": "users", "format": "json"}], batch={"max_delay": "100ms"})
    t.sql("INSERT INTO users (id, team) VALUES " + ",".join(f"({n}, 'old{n}')" for n in range(40)))
    fill(server, *(f"team:old{n}" for n in range(40)), *(f"team:new{n}" for n in range(40)), "team:stays")
    for lane in range(4):
        for n in range(lane, 40, 8):
            t.redis.xadd(f"{t.prefix}:l:{lane}", {"j": f'[{{"id":{n},"team":"new{n}"}},{{"id":{n + 4},"team":"new{n + 4}"}}]'})
    t.settle()
    equal(left(server), ["team:stays"])
    wait_for("an outbox without rows", lambda: not outbox(t))


def commit_without_cache(t, process, server, change, key=1):
    """The change is committed, its keys are not gone, and the process is dead."""
    before = position(t, t.stream(key))
    server.kill()
    change()
    wait_for("the commit", lambda: position(t, t.stream(key)) not in (None, before))


def test_after_a_crash_between_commit_and_invalidation_the_old_key_goes_too(t):
    process, server = start(t)
    t.user(1, team="red"), t.settle()
    commit_without_cache(t, process, server, lambda: t.user(1, team="blue"))
    process.kill()
    rows = outbox(t)
    assert rows and b"team:red" in rows[0]["cache_keys"] and b"team:blue" in rows[0]["cache_keys"], rows
    server.up()
    fill(server, "team:red", "team:blue", "team:green")
    process.start()
    t.settle()
    equal(left(server), ["team:green"])
    wait_for("an outbox without rows", lambda: not outbox(t))


def test_a_cache_that_comes_back_gets_the_keys_from_the_outbox(t):
    process, server = start(t)
    t.user(1, team="red"), t.settle()
    commit_without_cache(t, process, server, lambda: t.user(1, team="blue"))
    t.user(1, team="green")
    wait_for("two rows", lambda: t.row("SELECT team FROM users") == ("green",))
    server.up()
    fill(server, "team:red", "team:blue", "team:green", "team:none")
    t.settle()
    equal(left(server), ["team:none"])


@limit(60)
def test_a_frozen_owner_s_keys_go_by_the_one_that_takes_over(t):
    process, server = start(t)
    t.user(1, team="red"), t.settle()
    commit_without_cache(t, process, server, lambda: t.user(1, team="blue"))
    process.signal(signal.SIGSTOP)
    server.up()
    fill(server, "team:red", "team:blue", "team:green")
    t.sluice(process.argv[-1])
    t.settle(40)
    equal(left(server), ["team:green"])
    process.signal(signal.SIGCONT)
    t.user(1, team="green"), t.settle()
    equal(left(server), [])


@limit(90)
def test_killed_at_random_no_key_of_a_changed_row_is_left(t):
    """Each round: the cache holds every team; rows move; sluice dies at some moment, half the times with a cache that is away."""
    process, server = start(t, batch={"max_rows": 5, "max_delay": "1ms"})
    rng, users, teams = random.Random(4711), 24, 40
    t.add_many((t.stream(n), {"id": n, "team": f"t{n % teams}"}) for n in range(users))
    t.settle()
    dropped = 0
    for number in range(8):
        old = dict(t.sql("SELECT id, team FROM users"))
        fill(server, *(f"team:t{n}" for n in range(teams)))
        away = number % 2 == 0
        if away:
            server.kill()
        places = {name: position(t, name) for name in t.streams()}
        t.add_many((t.stream(n), {"id": n, "team": f"t{rng.randrange(teams)}"}) for n in (rng.randrange(users) for _ in range(200)))
        wait_for("some commit", lambda: any(position(t, name) != places[name] for name in places), every=rng.random() / 100)
        process.kill()
        if away:
            assert outbox(t)
            server.up()
            fill(server, *(f"team:t{n}" for n in range(teams)))
        process.start()
        t.settle()
        new = dict(t.sql("SELECT id, team FROM users"))
        stale = {f"team:{team}" for n in old for team in (old[n], new[n]) if old[n] != new[n]} & set(left(server))
        equal(stale, set(), f"round {number}")
        dropped += teams - len(left(server))
    assert dropped > 50, dropped
    wait_for("an outbox without rows", lambda: not outbox(t))


def test_a_stamped_version_goes_to_the_cache_and_a_deletion_s_too(t):
    process, server = start(t, {"key": "user:{id}", "mode": "versioned"}, table={"version": {"column": "ver", "kind": "counter"}})
    equal(t.command("functions", "load", process.argv[-1])[0], 0)
    cache = Cache(server.client(), load=False)
    t.user(1, name="a"), t.settle()
    version = t.row("SELECT ver FROM users")[0]
    equal(cache.hash("user:1"), {"m": row(version)})
    cache.filled("user:1", version, "a")
    t.user(1, name="b"), t.settle()
    equal(t.row("SELECT ver FROM users")[0], version + 1)
    token, floor = cache.load("user:1")
    equal(floor, row(version + 1))
    equal(cache.fill("user:1", token, version, "a", HOUR), "OLD")
    t.user(1, _op="delete"), t.settle()
    equal(cache.load("user:1")[1], deleted(version + 1))


def test_a_stamped_version_is_in_the_outbox(t):
    process, server = start(t, {"key": "user:{id}", "mode": "versioned"}, table={"version": {"column": "ver", "kind": "clock"}})
    t.user(1, name="a"), t.settle()
    first = t.row("SELECT ver FROM users")[0]
    commit_without_cache(t, process, server, lambda: t.user(1, name="b"))
    process.kill()
    second = t.row("SELECT ver FROM users")[0]
    assert second > first
    equal([bytes(r["versions"]).decode() for r in outbox(t)], [f"{second} row\n"])
    server.up()
    process.start()
    t.settle()
    equal(Cache(server.client(), load=False).hash("user:1"), {"m": row(second)})


def test_tables_without_such_templates_pay_nothing(t):
    """Every statement of a batch is in the general log: none about the outbox, none that reads a row."""
    t.own_mysql("--general-log=1", "--log-output=FILE", "--general-log-file=general.log")
    process, server = start(t, "user:{id}", table={"version": {"column": "ver", "kind": "counter"}})
    t.user(1, name="a"), t.settle()
    size = len(open(t.mysql.dir + "/data/general.log", "rb").read())
    for n in range(30):
        t.user(n, name="b", team="x")
    t.user(2, _op="delete"), t.settle()
    log = open(t.mysql.dir + "/data/general.log", "rb").read()[size:].decode(errors="replace")
    assert "INSERT INTO `users`" in log, log[-2000:]
    assert "sluice_outbox" not in log and "FROM `users`" not in log.replace("DELETE t FROM `users`", ""), log[-4000:]


def test_what_waits_in_the_outbox_is_shown(t):
    process, server = start(t)
    t.user(1, team="red"), t.settle()
    equal(process.metric("sluice_outbox_rows"), 0)
    commit_without_cache(t, process, server, lambda: t.user(1, team="blue"))
    wait_for("the gauge", lambda: process.metric("sluice_outbox_rows") == 1)
    equal(process.status()["totals"]["outbox_rows"], 1)
    server.up()
    wait_for("the gauge", lambda: process.metric("sluice_outbox_rows") == 0)


def test_explain_row_names_the_keys_and_changes_nothing(t):
    process, server = start(t, TEAM, "user:{id}", {"key": "named:{id}", "when": ["name"]}, {"key": "v:{id}", "mode": "versioned"},
                            table={"version": {"column": "ver", "kind": "counter"}})
    t.sql("INSERT INTO users (id, name, team, ver) VALUES (7, 'g', 'red', 41)")

    def explain(*words):
        code, out, err = t.command("explain", "row", process.argv[-1], "users", *words)
        equal((code, err), (0, ""))
        return [line.split()[0] for line in out.splitlines()[1:]], out

    keys, out = explain("id=007", "team=blue")
    equal(keys, ["team:red", "team:blue", "user:7", "v:7"])
    assert "the next one" in out
    equal(explain("id=7", "name=x")[0], ["team:red", "user:7", "named:7", "v:7"])
    equal(explain("id=7", "team=blue", "--before", "team=green,name=y")[0], ["team:green", "team:blue", "user:7", "named:7", "v:7"])
    keys, out = explain("id=7", "--delete")
    equal(keys, ["team:red", "user:7", "named:7", "v:7"])
    assert "41 deleted" in out
    equal(explain("id=8", "team=blue")[0], ["team:blue", "user:8", "named:8", "v:8"])
    equal(t.sql("SELECT id, name, team, ver FROM users"), ((7, "g", "red", 41),))
    equal(t.command("explain", "row", process.argv[-1], "users", "nmae=x")[0], 2)
    equal(t.command("explain", "row", process.argv[-1], "users", "team=x")[0], 2)
