"""What sluice leaves in Redis and what it believes of it: group, witness, trimming, identity, number of lanes."""
import time
from support import equal, stays, text_of, wait_for

GROUP = "sluice-default"


def group(t, stream):
    return next(g for g in t.redis.xinfo_groups(stream) if g["name"].decode() == GROUP)


def test_at_rest_the_group_s_lag_is_0_and_one_entry_is_left(t):
    t.users()
    t.sluice()
    last = [t.user(1, name=f"n{n}") for n in range(500)][-1]
    here = t.stream(1)
    t.settle()
    wait_for("trimmed to the witness", lambda: t.redis.xlen(here) == 1)
    equal(t.redis.xrange(here)[0][0], last)
    wait_for("the lag is 0", lambda: group(t, here)["lag"] == 0)
    equal(group(t, here)["last-delivered-id"], last)
    row = t.ledger()[here]
    equal((text_of(row["position"]), text_of(row["done"])), (last.decode(),) * 2)


def test_the_lag_counts_what_is_not_written(t):
    t.own_mysql()
    t.users()
    process = t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    wait_for("the lag is 0", lambda: group(t, here)["lag"] == 0)
    t.mysql.kill()
    for _ in range(40):
        t.user(1, name="b")
    wait_for("40 wait", lambda: group(t, here)["lag"] == 40)
    wait_for("and the status says so", lambda: t.lane_status(here)["lag"] == 40 and t.lane_status(here)["oldest_pending_seconds"] > 0)
    t.mysql.up()
    wait_for("the lag is 0", lambda: group(t, here)["lag"] == 0)
    assert process.alive()


def test_what_another_group_still_needs_is_not_trimmed(t):
    t.users()
    here = t.stream(1)
    t.redis.xgroup_create(here, "audit", "0", mkstream=True)
    t.sluice()
    ids = [t.user(1, name=f"n{n}") for n in range(20)]
    t.settle()
    stays("nothing is trimmed", lambda: t.redis.xlen(here) == 20, 2.5)
    t.redis.xreadgroup("audit", "me", {here: ">"}, count=10)
    t.redis.xack(here, "audit", *ids[:5])
    wait_for("what it acknowledged goes", lambda: t.redis.xlen(here) == 15)
    t.redis.xack(here, "audit", *ids[5:10])
    t.redis.xgroup_destroy(here, "audit")
    wait_for("all but the witness goes", lambda: t.redis.xlen(here) == 1)


def test_nothing_another_client_does_to_our_group_skips_an_entry(t):
    t.own_mysql()
    t.users()
    t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    t.mysql.kill()
    for _ in range(50):
        t.user(1, _op="incr", credits=1)
    t.redis.xreadgroup(GROUP, "intruder", {here: ">"}, count=20)
    t.redis.xgroup_setid(here, GROUP, "$")
    t.redis.xgroup_destroy(here, GROUP)
    t.mysql.up()
    t.settle()
    equal(t.row("SELECT credits FROM users"), (50,))
    wait_for("the group is back", lambda: group(t, here)["lag"] == 0)


def test_a_missing_ledger_row_of_a_known_lane_halts_it(t):
    t.users()
    process = t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    wait_for("traces of us", lambda: t.redis.exists(f"sluice:default:id:{here}") and group(t, here))
    process.kill()
    t.sql("DELETE FROM sluice_ledger WHERE lane LIKE %s", (f"%/{here}",))
    t.user(1, _op="incr", credits=1)
    process.start()
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted" and t.lane_status(here)["why"] == "ledger_lost")
    equal(t.row("SELECT credits FROM users"), (0,))
    t.redis.xadd(t.prefix + ":users:" + ("1" if here.endswith("0") else "0"), {"id": 50, "name": "b"})
    wait_for("the other lane goes on", lambda: t.row("SELECT name FROM users WHERE id = 50") == ("b",))
    code, out, err = t.lane("resume", here)
    equal(code, 0, out + err)
    wait_for("it goes on", lambda: t.row("SELECT credits FROM users WHERE id = 1") == (1,))


def test_another_stream_under_the_same_name_halts_the_lane(t):
    t.users()
    process = t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    name = f"sluice:default:id:{here}"
    wait_for("the identity", lambda: t.redis.get(name))
    process.kill()
    t.redis.set(name, "somebody-else")
    t.user(1, name="b")
    process.start()
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted" and t.lane_status(here)["why"] == "identity")
    equal(t.row("SELECT name FROM users"), ("a",))
    equal(t.lane("resume", here)[0], 0)  # whoever says so means this stream
    t.settle()
    equal(t.row("SELECT name FROM users"), ("b",))
    process.kill()
    process.start()
    t.user(1, name="c")
    t.settle()
    equal(t.row("SELECT name FROM users"), ("c",))


def test_another_number_of_lanes_is_refused_while_entries_wait(t):
    t.users()
    four = {"sources": [{"streams": t.prefix + ":users:{0..3}", "table": "users"}]}
    process = t.sluice(**four)
    for lane in range(4):
        t.redis.xadd(f"{t.prefix}:users:{lane}", {"id": lane, "name": "a"})
    t.settle()
    equal(process.stop(), 0)
    for lane in range(4):
        t.redis.xadd(f"{t.prefix}:users:{lane}", {"id": lane, "name": "b"})
    process = t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users"}])
    wait_for("it is refused by name", lambda: "lanes_changed" in process.text())
    wait_for("and health says so", lambda: process.get("/healthz")[0] == 503 and "is not taken: lanes_changed" in process.get("/healthz")[1])
    time.sleep(0.5)
    equal(set(row[0] for row in t.sql("SELECT name FROM users WHERE id < 2")), {"a"})
    process.kill()
    process = t.sluice(**four)
    t.settle()
    equal(process.stop(), 0)
    t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users"}])  # drained: fine
    wait_for("it is taken", lambda: t.lane_state(f"{t.prefix}:users:0") == "open")
    t.redis.xadd(f"{t.prefix}:users:0", {"id": 0, "name": "c"})
    t.settle()
    equal(t.row("SELECT name FROM users WHERE id = 0"), ("c",))


def test_a_damaged_ledger_row_is_named_and_waited_for(t):
    t.users()
    process = t.sluice()
    for key in range(8):
        t.user(key, name="a")
    t.settle()
    equal(process.stop(), 0)
    here = t.stream(1)
    [(right,)] = t.sql("SELECT position FROM sluice_ledger WHERE lane LIKE %s", "%/" + here)
    t.sql("UPDATE sluice_ledger SET position='x' WHERE lane LIKE %s", "%/" + here)
    process.start()
    process.logged("event=lane_not_adopted", f"{here} is damaged")
    t.sql("UPDATE sluice_ledger SET position=%s WHERE lane LIKE %s", [right, "%/" + here])
    t.user(1, name="b")
    t.settle()
    equal(t.sql("SELECT name FROM users WHERE id=1"), (("b",),))
    equal(process.stop(), 0)


def test_hash_tags_are_written_with_double_braces(t):
    t.users()
    t.sluice(sources=[{"streams": t.prefix + ":{{tag}}:{0..1}", "table": "users"}])
    t.redis.xadd(t.prefix + ":{tag}:1", {"id": 1, "name": "a"})
    t.settle()
    equal(t.sql("SELECT id, name FROM users"), ((1, "a"),))


def test_a_stream_that_appears_later_is_read(t):
    t.users()
    process = t.sluice()
    process.port()
    time.sleep(1.5)
    t.user(1, name="a"), t.user(2, name="b"), t.user(3, name="c"), t.user(4, name="d")
    t.settle()
    equal(t.row("SELECT COUNT(*) FROM users"), (4,))
    equal([lane["alarm"] for lane in process.status()["lanes"]], [None, None])


def test_an_eviction_policy_that_evicts_streams_is_refused(t):
    t.own_redis("--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
    t.users()
    process = t.sluice()
    t.user(1, name="a")
    process.logged("allkeys-lru")
    time.sleep(0.5)
    rows = t.sql("SELECT * FROM users")
    equal(rows, ())
    process.kill()
    t.sluice(eviction="allow")
    t.settle()
    equal(t.row("SELECT name FROM users"), ("a",))


def test_two_pools_on_one_mysql_know_nothing_of_each_other(t):
    t.users()
    here = t.stream(1)
    one = t.sluice(pool="one")
    two = t.sluice(pool="two")
    t.user(1, name="a")
    wait_for("both have a ledger row", lambda: len({text_of(lane[0]) for lane in t.sql("SELECT lane FROM sluice_ledger")}) == 4)
    wait_for("the row", lambda: t.row("SELECT name FROM users") == ("a",))
    wait_for("both groups", lambda: {b"sluice-one", b"sluice-two"} <= {g["name"] for g in t.redis.xinfo_groups(here)})
    assert one.alive() and two.alive()
    code, _, errors = t.command("check", two.argv[-1], "--connect")
    assert code == 0 and "is read by pool one, too" in errors, errors
