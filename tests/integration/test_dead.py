"""Dead letters in hand: listed, shown, dropped, parked and applied again."""
import json, re
from support import *


def text_of(value):
    return value.decode() if isinstance(value, bytes) else value


def dead(t, what, *words):
    return t.command("dead", what, t.sluices[-1].argv[-1], *words)


def lines(t, *words):
    code, out, err = dead(t, "list", *words, "--json")
    assert code in (0, 1) and not err, (code, err)
    return [json.loads(line) for line in out.splitlines()]


def states(t):
    """[(id, state)] of the letters that are not closed"""
    rows = t.sql("SELECT id, state FROM sluice_dead_letter WHERE chunk = 0 AND state <> 'closed' ORDER BY id")
    return [(number, text_of(state)) for number, state in rows]


def test_letters_are_listed_by_every_filter(t):
    t.users()
    t.sql("CREATE TABLE orders (id INT PRIMARY KEY)")
    t.sluice(tables={"users": {}, "orders": {}}, sources=[{"streams": t.prefix + ":users:{0..1}", "tables": ["users", "orders"], "table": "users"}])
    a, b = t.streams()
    t.redis.xadd(a, {"id": 1, "nosuch": 1})
    t.redis.xadd(a, {"id": "x", "name": "n"})
    t.redis.xadd(b, {"_table": "orders", "nosuch": 1})
    t.settle()
    letters = lines(t)
    ids = [letter["id"] for letter in letters]
    equal([letter["reason"] for letter in sorted(letters, key=lambda x: x["reason"])], ["bad_key", "unknown_column", "unknown_column"])
    equal(len(lines(t, "--lane", a)), 2)
    equal(len(lines(t, "--lane", "default/redis/" + b)), 1)
    equal(len(lines(t, "--lane", "nosuch")), 0)
    equal((len(lines(t, "--table", "users")), len(lines(t, "--table", "orders"))), (2, 1))
    equal([x["reason"] for x in lines(t, "--reason", "bad_key")], ["bad_key"])
    equal(len(lines(t, "--state", "dead")), 3)
    equal(len(lines(t, "--state", "closed")), 0)
    equal([x["id"] for x in lines(t, "--id", f"{ids[1]}-")], ids[1:])
    equal([x["id"] for x in lines(t, "--id", f"{ids[0]}-{ids[1]}")], ids[:2])
    equal([x["id"] for x in lines(t, "--limit", "2")], ids[:2])
    equal((len(lines(t, "--older", "1h")), len(lines(t, "--newer", "1h"))), (0, 3))
    code, out, _ = dead(t, "list")
    equal(code, 0)
    assert "unknown_column" in out and a in out and out.count("\n") == 4, out
    equal(dead(t, "list", "--lane", "nosuch")[0], 1)


def test_mistakes_of_the_command_line_change_nothing(t):
    t.users()
    t.sluice()
    t.user(1, nosuch=1)
    t.settle()
    for words in (("drop",), ("replay",), ("drop", "--id", "x"), ("drop", "--all", "--force"), ("list", "--dry-run"), ("drop", "--all", "--json"),
                  ("list", "--state", "lost"), ("list", "--older", "-1s"), ("list", "--limit", "0"), ("frob",), ("drop", "--al"), ("list", "--id", "3-2")):
        code, out, err = dead(t, *words)
        equal(code, 2, f"{words}: {out}{err}")
    equal(dead(t, "show", "999")[0], 1)
    equal(dead(t, "show", "x")[0], 2)
    equal(dead(t, "drop", "--reason", "nosuch")[0], 1)
    equal(len(t.dead()), 1)
    elsewhere = t.write_config(mysql={"url": "mysql://app:x@127.0.0.1:1/shop"})
    equal(t.command("dead", "list", elsewhere)[0], 69)


def test_show_prints_the_values_and_no_control_bytes(t):
    t.users()
    process = t.sluice()
    t.redis.xadd(t.stream(1), {"id": 1, "nosuch": "secret-4712", "name": b"\xff\x1b[2J", "email": "zwei\nZeilen"})
    t.settle()
    number = str(t.dead()[0]["id"])
    code, out, err = dead(t, "show", number)
    equal((code, err), (0, ""))
    assert "  nosuch = secret-4712\n" in out and "  name = \\xff\\x1b[2J\n" in out and "zwei\\x0aZeilen" in out, out
    shown = json.loads(dead(t, "show", number, "--json")[1])
    equal(shown["payload"][1:3], [["nosuch", "secret-4712"], ["name", {"base64": "/xtbMko="}]])
    assert "secret-4712" not in process.text(), "a value in the log"


def test_drop_says_how_many_and_deletes_every_chunk(t):
    t.own_mysql("--max-allowed-packet=1M")
    t.users()
    t.sluice(poison_rate=0)
    big = "x" * 3_000_000
    t.user(1, nosuch=1), t.user(2, nosuch=big), t.user(3, nosuch=1)
    t.settle()
    chunks = len(t.dead())
    assert chunks > 6, chunks
    letters = lines(t)
    equal(len(letters), 3)
    number = [x["id"] for x in letters if x["lane"].endswith(t.stream(2)) and
              json.loads(dead(t, "show", str(x["id"]), "--json")[1])["payload"][1][1] == big]
    equal(len(number), 1)
    code, out, _ = dead(t, "drop", "--id", str(number[0]), "--dry-run")
    equal((code, "1 letters match" in out, len(t.dead())), (0, True, chunks), out)
    code, out, _ = dead(t, "drop", "--id", str(number[0]))
    equal((code, "1 dropped" in out, len(t.dead())), (0, True, 2), out)


@limit(120)
def test_thousands_are_paged_through(t):
    t.users()
    t.sluice(poison_rate=0)
    t.add_many((t.stream(key), {"id": key, "nosuch": key}) for key in range(2600))
    t.settle(60)
    letters = lines(t)
    equal((len(letters), len({x["id"] for x in letters})), (2600, 2600))
    code, out, _ = dead(t, "drop", "--all", "--limit", "1100")
    equal((code, "2600 letters match, the first 1100 are taken" in out, len(t.dead())), (0, True, 1500), out)
    equal(dead(t, "drop", "--reason", "unknown_column")[0], 0)
    equal(t.dead(), ())


PARK = {"users": {"on_poison": "park"}}


def parked(t):
    return t.row("SELECT COUNT(*), COUNT(DISTINCT key_hash), COUNT(DISTINCT letter) FROM sluice_parked")


def test_later_changes_of_a_parked_key_follow_it(t):
    t.users()
    t.sluice(tables=PARK)
    here = t.prefix + ":users:0"
    for fields in ({"id": 1, "name": "a"}, {"id": 1, "nosuch": 1}, {"id": 1, "name": "b"}, {"id": 2, "name": "c"}, {"_op": "delete", "id": 1}):
        t.redis.xadd(here, fields)
    t.settle()
    t.redis.xadd(here, {"_op": "incr", "id": 1, "credits": 5})  # in a batch of its own
    t.redis.xadd(here, {"id": 2, "email": "d"})
    t.redis.xadd(here, {"_op": "frob", "id": 2})  # has no key
    t.settle()
    equal(t.sql("SELECT id, name, email, credits FROM users ORDER BY id"), ((1, "a", None, 0), (2, "c", "d", 0)))
    equal([(text_of(x["reason"]), text_of(x["state"])) for x in t.dead()],
          [("unknown_column", "parked")] + [("parked", "parked")] * 3 + [("bad_operation", "dead")])
    equal(parked(t), (4, 1, 4))


def test_what_mysql_refuses_parks_too_and_lists_park_every_key(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(8), n INT UNSIGNED NOT NULL DEFAULT 0)")
    t.sql("CREATE TABLE orders (id VARCHAR(8) PRIMARY KEY, n INT)")
    t.sluice(tables={**PARK, "orders": {}}, sources=[{"streams": t.prefix, "tables": ["users", "orders"], "table": "users", "format": "json"}])
    for changes in ([{"id": 1, "name": "a"}], [{"id": 1, "n": -1}, {"_table": "orders", "id": "x", "n": 1}],
                    [{"_table": "orders", "id": "X", "n": 2}, {"_table": "orders", "id": "y", "n": 2}], [{"_table": "orders", "id": "y", "n": 3}],
                    [{"_table": "orders", "id": "z", "n": 3}], [{"id": 1, "name": "b"}], [{"id": 2, "n": 4}], [{"id": 2, "_op": "incr", "n": -9}],
                    [{"id": 2, "name": "c"}], [{"id": 3, "name": "d"}]):
        t.redis.xadd(t.prefix, {"j": json.dumps(changes)})
    t.settle()
    equal(t.sql("SELECT id, name, n FROM users ORDER BY id"), ((1, "a", 0), (2, None, 4), (3, "d", 0)))
    equal(t.sql("SELECT id, n FROM orders"), (("z", 3),))
    equal([text_of(x["reason"]) for x in t.dead()], ["out_of_range", "parked", "parked", "parked", "out_of_range", "parked"])
    t.sluices[-1].kill()
    t.sluices[-1].start()
    t.redis.xadd(t.prefix, {"j": json.dumps([{"_table": "orders", "id": "Y ", "n": 4}])})
    t.redis.xadd(t.prefix, {"j": json.dumps([{"_table": "orders", "id": "w", "n": 4}])})
    t.settle()
    equal(t.sql("SELECT id, n FROM orders ORDER BY id"), (("w", 4), ("z", 3)))


def test_max_parked_halts_the_lane_and_a_replay_lets_it_go_on(t):
    t.users()
    t.sluice(tables=PARK, max_parked=3, poison_rate=0)
    here = t.prefix + ":users:0"
    for key in range(6):
        t.redis.xadd(here, {"id": key, "nosuch": 1})
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted")
    equal(t.lane_status(here)["why"], "max_parked")
    equal((len(t.dead()), parked(t)[1]), (3, 3))
    t.sql("ALTER TABLE users ADD nosuch INT")
    replay(t, "--all")  # also of a lane that is halted
    all_closed(t)
    equal(t.lane_state(here), "halted")
    equal(t.lane("resume", here)[0], 0)
    t.settle()
    equal(t.sql("SELECT id, nosuch FROM users ORDER BY id"), tuple((key, 1) for key in range(6)))


def test_followers_do_not_count_for_poison_rate(t):
    t.users()
    t.sluice(tables=PARK, poison_rate=5)
    t.add_many((t.stream(1), {"id": 1, "nosuch": 1} if n == 0 else {"_op": "incr", "id": 1, "credits": 1}) for n in range(300))
    t.settle()
    equal(len(t.dead()), 300)


def replay(t, *words):
    code, out, err = dead(t, "replay", *words)
    equal(code, 0, out + err)


def all_closed(t):
    wait_for("every letter is closed", lambda: not states(t))
    equal(parked(t)[0], 0)


def test_a_replay_applies_a_key_in_order_once(t):
    t.users()
    t.sluice(tables={"users": {"on_poison": "park", "invalidate": ["user:{id}"]}})
    here = t.prefix + ":users:0"
    for fields in ({"id": 1, "name": "a"}, {"_op": "incr", "id": 1, "credits": 5, "nosuch": 1}, {"_op": "incr", "id": 1, "credits": 7}, {"id": 1, "name": "b"}):
        t.redis.xadd(here, fields)
    t.settle()
    t.redis.set("user:1", "old")
    equal(dead(t, "replay", "--all", "--dry-run")[0], 0)
    stays("nothing is marked", lambda: len(t.dead()) == 3 and len(states(t)) == 3, 0.3)
    replay(t, "--all")  # the cause is still there
    wait_for("it is refused again", lambda: [x["attempts"] for x in t.dead()] == [1, 0, 0])
    equal([text_of(x["state"]) for x in t.dead()], ["parked"] * 3)
    t.sql("ALTER TABLE users ADD nosuch INT")
    t.redis.xadd(here, {"_op": "incr", "id": 1, "credits": 11})
    replay(t, "--reason", "unknown_column")
    all_closed(t)
    t.settle()
    equal(t.sql("SELECT name, credits, nosuch FROM users"), (("b", 23, 1),))
    wait_for("the key is gone", lambda: not t.redis.exists("user:1"))
    equal(dead(t, "replay", "--all")[0], 1)
    equal(dead(t, "replay", "--all", "--state", "all")[0], 1)  # closed ones are not applied twice
    t.redis.xadd(here, {"_op": "incr", "id": 1, "credits": 1})
    t.settle()
    equal(t.row("SELECT credits FROM users"), (24,))
    equal(dead(t, "drop", "--state", "closed")[0], 0)
    equal(t.dead(), ())


def test_a_dropped_letter_frees_what_waits_behind_it(t):
    t.users()
    t.sluice(tables=PARK)
    here = t.prefix + ":users:0"
    for fields in ({"id": 1, "nosuch": 1}, {"id": 1, "name": "a"}, {"id": 1, "nosuch": 2}, {"id": 1, "email": "b"}):
        t.redis.xadd(here, fields)
    t.settle()
    first = t.dead()[0]["id"]
    code, out, _ = dead(t, "drop", "--id", str(first))
    equal((code, "1 marked" in out), (0, True), out)
    wait_for("the first follower is applied", lambda: t.sql("SELECT name, email FROM users") == (("a", None),))
    # the next one is refused on its own, and what follows it waits for it
    wait_for("the next is refused by itself", lambda: [(text_of(x["reason"]), text_of(x["state"])) for x in t.dead()] ==
             [("parked", "closed"), ("unknown_column", "parked"), ("parked", "parked")])
    dead(t, "drop", "--reason", "unknown_column")
    all_closed(t)
    equal(t.sql("SELECT name, email FROM users"), (("a", "b"),))


def test_a_skipped_letter_wants_a_version_or_force(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(8), n INT NOT NULL DEFAULT 0)")
    t.sql("CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(8), ver BIGINT)")
    t.sluice(tables={"users": {}, "orders": {"version": "ver"}}, sources=[{"streams": t.prefix, "tables": ["users", "orders"], "table": "users"}])
    add = lambda **fields: t.redis.xadd(t.prefix, fields)
    add(id=1, name="a", extra=1), add(_table="orders", id=1, _version=5, name="old", extra=1), add(_table="orders", id=2, _version=5, name="e", extra=1)
    t.settle()
    add(_table="orders", id=1, _version=7, name="new"), add(id=1, name="b")
    t.settle()
    t.sql("ALTER TABLE users ADD extra INT"), t.sql("ALTER TABLE orders ADD extra INT")
    add(id=9, extra=1)  # the definitions are seen
    t.settle()
    replay(t, "--all")
    wait_for("the versioned ones are applied", lambda: len(states(t)) == 1 and states(t)[0][1] == "dead")
    equal(t.sql("SELECT id, name, ver FROM orders ORDER BY id"), ((1, "new", 7), (2, "e", 5)))
    letter = [x for x in t.dead() if text_of(x["state"]) == "dead"][0]
    assert "--force" in letter["message"] and text_of(letter["reason"]) == "unknown_column", letter
    equal(t.row("SELECT name FROM users WHERE id = 1"), ("b",))
    replay(t, "--all", "--force")
    wait_for("it is applied", lambda: not states(t))
    equal(t.row("SELECT name, extra FROM users WHERE id = 1"), ("a", 1))
    add(id=3, name="nine chars")  # the last of its lane: nothing can have come behind it
    t.settle()
    t.sql("ALTER TABLE users MODIFY name VARCHAR(20)")
    replay(t, "--all")
    wait_for("it is applied", lambda: t.row("SELECT name FROM users WHERE id = 3"))


def test_lists_over_two_tables_come_in_order_after_a_replay(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0)")
    t.sql("CREATE TABLE orders (id INT PRIMARY KEY, seen VARCHAR(200) NOT NULL DEFAULT '')")
    t.sluice(tables={**PARK, "orders": {}}, sources=[{"streams": t.prefix, "tables": ["users", "orders"], "table": "users", "format": "json"}])
    add = lambda *changes: t.redis.xadd(t.prefix, {"j": json.dumps(changes)})
    add({"id": 1, "_op": "incr", "n": 1, "late": 1}, {"_table": "orders", "id": 1, "seen": "a"})
    add({"_table": "orders", "id": 1, "seen": "b"}, {"_table": "orders", "id": 2, "seen": "b"})
    add({"_table": "orders", "id": 2, "seen": "c"}, {"id": 2, "_op": "incr", "n": 2})
    add({"id": 2, "_op": "incr", "n": 4}), add({"id": 3, "_op": "incr", "n": 8})
    t.settle()
    equal((t.sql("SELECT * FROM users"), t.sql("SELECT * FROM orders")), (((3, 8),), ()))
    t.sql("ALTER TABLE users ADD late INT")
    replay(t, "--all")
    all_closed(t)
    equal(t.sql("SELECT id, n FROM users ORDER BY id"), ((1, 1), (2, 6), (3, 8)))
    equal(t.sql("SELECT id, seen FROM orders ORDER BY id"), ((1, "b"), (2, "c")))


def test_a_letter_in_chunks_is_applied(t):
    t.own_mysql("--max-allowed-packet=4M")
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, doc LONGTEXT) CHARACTER SET utf8mb4")
    t.sluice(tables=PARK, redis={"url": t.redis_server.url, "timeout": "1m"})
    body = "ab\u00e9\"\\" * 500_000
    t.user(1, doc=body, nosuch=1), t.user(1, doc="short")
    t.settle()
    assert len(t.dead()) > 2
    t.sql("ALTER TABLE users ADD nosuch INT")
    replay(t, "--all")
    all_closed(t)
    equal(t.sql("SELECT doc, nosuch FROM users"), (("short", 1),))


@limit(120)
def test_no_key_is_parked_for_ever_under_traffic(t):
    t.users()
    process = t.sluice(tables=PARK, batch={"max_rows": 200})
    here, total = t.stream(1), 0

    def incr(count, **more):
        nonlocal total
        t.add_many((here, {"_op": "incr", "id": 1, "credits": 1, **more}) for _ in range(count))
        total += count
    incr(1, nosuch=1)
    for _ in range(4):
        incr(500)
    t.settle(60)
    t.sql("ALTER TABLE users ADD nosuch INT")
    replay(t, "--all")
    end = time.monotonic() + 60 * PATIENCE
    while states(t):
        assert time.monotonic() < end, "still parked"
        incr(100)
    for _ in range(5):
        incr(100)
    t.settle(60)
    equal((t.row("SELECT credits FROM users"), parked(t)[0]), ((total,), 0))
    assert process.alive()


@limit(180)
def test_kill_9_between_changes_nothing(t):
    t.users()
    t.sql("CREATE TABLE orders (id INT PRIMARY KEY, n INT NOT NULL DEFAULT 0)")
    process = t.sluice(tables={"users": {"on_poison": "park", "invalidate": ["user:{id}"]}}, poison_rate=0,
                       mysql={"url": t.mysql.url(t.db)})
    here = t.prefix + ":users:0"
    keys, each = 40, 60
    t.add_many((here, {"_op": "incr", "id": key, "credits": 1, **({"nosuch": 1} if n == 0 else {})}) for n in range(each) for key in range(keys))
    t.settle(60)
    equal(len(states(t)), keys * each)
    t.sql("ALTER TABLE users ADD nosuch INT")
    replay(t, "--all")
    for n in range(6):
        before = len(states(t))
        t.add_many((here, {"_op": "incr", "id": key, "credits": 1}) for key in range(keys))
        wait_for("some letters are applied", lambda: len(states(t)) < before or not states(t), 30)
        process.kill()
        process.start()
    all_closed(t)
    t.settle(60)
    equal(t.row("SELECT COUNT(*), MIN(credits), MAX(credits) FROM users"), (keys, each + 6, each + 6))


def test_a_replay_of_parked_letters_is_never_over_a_newer_version(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(20), ver BIGINT)")
    t.sluice(tables={"users": {"on_poison": "park", "version": "ver"}})
    here = t.prefix + ":users:0"
    for version, fields in ((3, {"name": "a"}), (5, {"name": "b", "late": 1}), (9, {"name": "c"}), (7, {"name": "d"})):
        t.redis.xadd(here, {"_version": version, "id": 1, **fields})
    t.settle()
    equal(t.sql("SELECT name, ver FROM users"), (("a", 3),))
    t.sql("ALTER TABLE users ADD late INT")
    t.sql("UPDATE users SET ver = 8, name = 'somebody else'")
    replay(t, "--all")
    all_closed(t)
    equal(t.sql("SELECT name, ver, late FROM users"), (("c", 9, None),))


def test_open_letters_are_counted_by_reason_and_table(t):
    t.users()
    process = t.sluice(tables=PARK)
    here = t.prefix + ":users:0"
    for fields in ({"id": 1, "nosuch": 1}, {"id": 1, "name": "a"}, {"id": 1, "name": "b"}, {"id": "x"}):
        t.redis.xadd(here, fields)
    t.settle()
    counted = lambda: process.status()["totals"]["dead_open"] == 4
    wait_for("they are counted", counted)
    equal(process.status()["dead_open_by_reason"], {"unknown_column": 1, "parked": 2, "bad_key": 1})
    code, text = process.get("/healthz")
    health = json.loads(text)
    equal((code, health["dead_open"], health["dead_open_by_table"]), (200, 4, {"users": 4}))
    equal((process.metric("sluice_dead_letters_open", reason="parked"), process.metric("sluice_table_dead_letters_open", table="users")), (2, 4))
    wait_for("the parked key is counted", lambda: process.metric("sluice_lane_parked_keys", lane="default/redis/" + here) == 1)
    dead(t, "drop", "--all")
    wait_for("they are gone", lambda: process.metric("sluice_dead_letters_open") == 0)
    equal(process.metric("sluice_table_dead_letters_total", table="users"), 4)


def test_another_process_goes_on_with_a_replay(t):
    t.users()
    first = t.sluice(tables=PARK, poison_rate=0)
    here = t.prefix + ":users:0"
    t.add_many((here, {"_op": "incr", "id": key, "credits": 1, **({"nosuch": 1} if n == 0 else {})}) for n in range(50) for key in range(30))
    t.settle(60)
    second = t.sluice(tables=PARK, poison_rate=0)
    second.port()
    t.sql("ALTER TABLE users ADD nosuch INT")
    replay(t, "--all")
    wait_for("some letters are applied", lambda: len(states(t)) < 1500)
    first.signal(signal.SIGSTOP)  # it may wake with a COMMIT to send
    wait_for("the other one has the lane", lambda: [x["state"] for x in second.status()["lanes"] if x["stream"] == here] != ["free"], 40)
    first.signal(signal.SIGCONT)
    t.redis.xadd(here, {"_op": "incr", "id": 1, "credits": 100})
    all_closed(t)
    t.settle(60)
    equal(t.row("SELECT COUNT(*), MIN(credits), MAX(credits), SUM(credits) FROM users"), (30, 50, 150, 1600))


def test_a_letter_deleted_by_hand_holds_nothing_up(t):
    t.users()
    process = t.sluice(tables=PARK)
    for fields in ({"nosuch": 1}, {"name": "a"}, {"email": "b"}):
        t.user(1, **fields)
    t.settle()
    t.sql("DELETE FROM sluice_dead_letter WHERE reason = 'unknown_column'")
    process.kill()
    process.start()
    wait_for("what waited is applied", lambda: t.sql("SELECT name, email FROM users") == (("a", "b"),))
    t.user(1, name="c")
    t.settle()
    equal(t.row("SELECT name FROM users"), ("c",))
