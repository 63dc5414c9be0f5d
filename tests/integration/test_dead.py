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
    """[(id of the row, state)] of the letters that are not closed"""
    return [(dict(json.loads(text_of(letter["payload"])))["id"], text_of(letter["state"])) for letter in t.dead()
            if letter["chunk"] == 0 and text_of(letter["state"]) != "closed"]


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


def test_followers_do_not_count_for_poison_rate(t):
    t.users()
    t.sluice(tables=PARK, poison_rate=5)
    t.add_many((t.stream(1), {"id": 1, "nosuch": 1} if n == 0 else {"_op": "incr", "id": 1, "credits": 1}) for n in range(300))
    t.settle()
    equal(len(t.dead()), 300)
