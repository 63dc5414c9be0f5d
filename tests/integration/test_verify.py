"""
Proof of consistency: keys that were invalidated are looked at again and compared with their rows; one invalidation that was
dropped among a thousand is named with its change, and what can't be known is said.
"""
import json, os, re, time
from cache_functions import SOURCE, Cache, row
from fault_proxy import TO_SERVER, FaultProxy
from support import equal, limit, wait_for

SECRET = "nobody-sees-this"
CHECK = {"sample": "1/1", "rate": 20000}


def users(t, mode="versioned", verify=CHECK, proxy=False, template=(), **more):
    """Rows of `users` with keys PREFIX:v:ID; the cache behind a proxy that may do something to it."""
    t.sql("CREATE TABLE IF NOT EXISTS users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(64), ver BIGINT)")
    t.redis.function_load(SOURCE, replace=True)
    settings = dict(tables={"users": {"version": "ver", "invalidate": [{"key": t.prefix + ":v:{id}", "mode": mode, **dict(template)}]}},
                    verify=verify, **more)
    if proxy:
        t.proxy = FaultProxy(t.redis_server.port).start()
        settings["cache"] = {"url": t.redis_server.url_at(t.proxy.port)}
    return t.sluice(**settings)


def key(t, number):
    return f"{t.prefix}:v:{number}"


def fill(t, numbers, version, payload=SECRET):
    """As readers do that load now."""
    cache = Cache(t.redis, load=False)
    for number in numbers:
        token, _ = cache.load(key(t, number))
        equal(cache.fill(key(t, number), token, version, payload, 600_000, 0), "OK")


def drop(t, number):
    """The next invalidation of that key goes to another one instead."""
    def call(name):
        return f"sluice_invalidate\r\n$1\r\n1\r\n${len(name)}\r\n{name}\r\n".encode()
    t.proxy.replace(call(key(t, number)), call(key(t, number).replace(":v:", ":x:")), TO_SERVER)


def looks(sluice, table="users", within="1s"):
    return sluice.status()["verify"]["tables"][table][within]


def one_of_a_thousand(t, old, new):
    """A sluice that has looked at a thousand keys, one of which still holds the old version, and the entries that brought the new one."""
    sluice = users(t, proxy=True, show_keys=True)
    sluice.port()
    numbers = range(1, 1001)
    t.add_many((t.stream(n), {"id": n, "name": "a", "_version": old}) for n in numbers)
    t.settle()
    fill(t, numbers, old)
    drop(t, 500)
    ids = {n: t.user(n, name="b", _version=new).decode() for n in numbers}
    t.settle()
    equal(t.proxy.done("replace"), 1, "it went to another key")
    equal(t.redis.hget(key(t, 500), "r"), row(old).encode(), "so the old value is still there")
    wait_for("all are looked at", lambda: looks(sluice)["checks"] + sluice.status()["verify"]["late"] == 2000)
    return sluice, ids


@limit(150)
def test_one_dropped_invalidation_in_a_thousand_is_named_with_its_change(t):
    for old in (1, 3, 5, 7):
        sluice, ids = one_of_a_thousand(t, old, old + 1)
        if not sluice.status()["verify"]["late"]:
            break  # a machine that stands still for half a second makes looks that are told apart
        sluice.kill()
    found, old, new = sluice.status()["verify"], str(old), str(old + 1)
    equal([found["tables"]["users"]["1s"][name] for name in ("wrong", "nines")], [1, 3.301])
    equal([found[name] for name in ("told", "picked", "dropped_ring", "dropped_full", "late", "not_comparable")], [2000, 2000, 0, 0, 0, 0])
    equal(len(found["wrong"]), 1)
    wrong = found["wrong"][0]
    equal({name: wrong[name] for name in ("table", "key", "within", "what", "entry_version", "row_version", "told_version", "lane", "entry", "entry_or_before")},
          {"table": "users", "key": key(t, 500), "within": "1s", "what": "older", "entry_version": old, "row_version": new, "told_version": new,
           "lane": "default/redis/" + t.stream(500), "entry": ids[500], "entry_or_before": False})
    equal([sluice.metric("sluice_verify_checks_total", within="1s"), sluice.metric("sluice_verify_wrong_total"),
           sluice.metric("sluice_table_verify_wrong_total", table="users")], [2000, 1, 1])
    assert any("hold something else" in text for text in sluice.status()["warnings"])
    code, out, err = t.command("verify", f"http://127.0.0.1:{sluice.port()}")
    equal(code, 1, out + err)
    for line in (r"^users +3\.3 nines +1s +2000 +1$", r"^users +not known yet +5m +0 +0$", r"found with a chance of 100 %",
                 rf"^wrong: users, .*, key {key(t, 500)}, 1s after: older$", rf"^  found   entry of version {old}, marker ({old}|none), row of version {new}$",
                 rf"^  change  entry {ids[500]} of default/redis/{t.stream(500)}, told as {new} at "):
        assert re.search(line, out, re.M), (line, out)
    line = sluice.logged("event=stale_key", f"entry={ids[500]}", f"told_version={new}")
    assert SECRET not in line + out + json.dumps(found), "no value"
    equal(t.command("status", f"http://127.0.0.1:{sluice.port()}")[1].count("verify 1/1: 2000 checks, 1 wrong, "), 1)
    code, out, err = t.command("verify", sluice.argv[-1], "--for", "100ms")
    equal(code, 2, "port 0: it wants the URL")
    code, out, err = t.command("verify", f"http://127.0.0.1:{sluice.port()}", "--for", "100ms")
    equal((code, "wrong:" in out), (5, False), "nothing new was compared in that time")
    # a walk finds the same without having seen the change
    code, out, err = t.command("verify", sluice.argv[-1], "--once")
    equal(code, 1, out + err)
    assert re.search(rf"^users .*{key(t, 500)} +older +{old} +({old}|none) +{new}$", out, re.M), out
    assert re.search(r"^users .*versioned +3\.0 +1000 +1 ", out, re.M), out


def test_readers_writers_and_changes_on_their_way_make_no_mistakes(t):
    sluice = users(t, verify={"sample": "1/1", "rate": 20000})
    sluice.port()
    cache, version, end = Cache(t.redis, load=False), 0, time.monotonic() + 2.5
    while time.monotonic() < end:
        version += 1
        for n in range(1, 6):
            t.user(n, name=f"n{version}", _version=version)
        t.user(6, **({"_op": "delete", "_version": version} if version % 3 == 0 else {"name": "x", "_version": version}))
        for n in range(1, 7):
            answer = cache.get(key(t, n), 200)
            if answer[0] == "LOAD":
                got = t.row("SELECT ver FROM users WHERE id = %s", (n,))
                if got:
                    cache.fill(key(t, n), answer[1], got[0], "v", 60000)
                else:
                    cache.fill_none(key(t, n), answer[1], answer[2], 60000)
    wait_for("the last ones are looked at", lambda: looks(sluice)["checks"] + sluice.status()["verify"]["tables"]["users"]["not_comparable"]
             + sluice.status()["verify"]["late"] == sluice.status()["verify"]["told"])
    found = sluice.status()["verify"]
    assert found["tables"]["users"]["1s"]["checks"] > 50, found
    equal([found["tables"]["users"]["1s"]["wrong"], found["wrong"]], [0, []])
    code, out, _ = t.command("verify", f"http://127.0.0.1:{sluice.port()}", "--table", "users")
    equal(code, 0, out)
    assert "at least" in out, out


def test_a_value_of_a_deleted_row_and_none_of_an_inserted_one_are_found(t):
    sluice = users(t, proxy=True)
    sluice.port()
    for n in (1, 2):
        t.user(n, name="a", _version=1)
    t.settle()
    fill(t, [1, 2], 1)
    cache = Cache(t.redis, load=False)
    token, floor = cache.load(key(t, 3))
    equal(cache.fill_none(key(t, 3), token, floor, 60000), "OK")
    for n in (1, 3):
        drop(t, n)
    gone = t.user(1, _op="delete", _version=2).decode()
    t.user(2, _op="delete", _version=2)
    t.user(3, name="b", _version=1)
    t.settle()
    wrong = wait_for("both are found", lambda: [w for w in [{w["what"]: w for w in sluice.status()["verify"]["wrong"]}] if len(w) == 2])[0]
    equal(len(sluice.status()["verify"]["wrong"]), 2, "a key stands there once")
    equal([wrong["no_row"]["entry"], wrong["no_row"]["told_deleted"], wrong["no_row"]["row"]], [gone, True, False])
    equal([wrong["row"]["row_version"], wrong["row"]["entry_version"]], ["1", None])
    assert all(re.fullmatch("[0-9a-f]{16}", w["key"]) for w in wrong.values()), "keys are hashes unless show_keys"


def test_populate_is_compared_by_content(t):
    sluice = users(t, "populate", template={"ttl": "10m", "populate": "always", "marker_absent": "1m", "quarantine": "1m"}, proxy=True)
    sluice.port()
    t.proxy.replace(b'{"id":3,"name":"nob', b'{"id":3,"name":"NOB', TO_SERVER)
    for n in (1, 2, 3):
        t.user(n, name=SECRET, _version=7)
    t.settle()
    equal(json.loads(t.redis.hget(key(t, 1), "p")), {"id": 1, "name": SECRET, "ver": 7})
    wait_for("it is found", lambda: [looks(sluice)[name] for name in ("checks", "wrong")] == [3, 1])
    wrong = sluice.status()["verify"]["wrong"][0]
    equal([wrong["what"], wrong["entry_version"], wrong["row_version"]], ["content", "7", "7"])
    assert wrong["value_hash"] != wrong["row_hash"] and None not in (wrong["value_hash"], wrong["row_hash"]), wrong
    assert SECRET not in json.dumps(wrong).lower() + sluice.text().lower()
    # the same in other words is the same
    t.redis.hset(key(t, 2), "p", json.dumps({"ver": 7, "name": SECRET, "id": 2}, indent=1))
    code, out, _ = t.command("verify", sluice.argv[-1], "--once")
    equal(code, 1, out)
    assert re.search(r" 0\.5 +3 +1 ", out) and " content " in out and SECRET not in out.lower(), out


def test_with_when_a_row_that_moved_on_is_no_mistake(t):
    sluice = users(t, verify={"sample": "off"}, template={"when": ["name"]})
    t.sql("ALTER TABLE users ADD COLUMN age INT")
    t.user(1, name="a", age=1, _version=1), t.user(2, name="a", age=1, _version=1), t.settle()
    fill(t, [1, 2], 1)
    t.user(1, age=2, _version=2), t.settle()
    assert t.redis.hexists(key(t, 1), "p"), "nothing of it changed"
    code, out, _ = t.command("verify", sluice.config, "--once")
    equal((code, re.findall(r"^users .*", out, re.M)[0].split()[-6:]), (0, ["0.0", "1", "0", "0", "1", "2"]), out)


def test_delete_is_not_checkable_and_nothing_compared_is_no_proof(t):
    sluice = users(t, "delete")
    sluice.port()
    t.user(1, name="a", _version=1)
    t.settle()
    code, out, err = t.command("verify", f"http://127.0.0.1:{sluice.port()}")
    equal(code, 5, out + err)
    assert re.search(r"^not checkable: users, template .*:v:\{id\}: keys of mode delete don't tell their version$", out, re.M), out
    equal(sluice.status()["verify"]["told"], 0)
    equal(t.command("verify", sluice.argv[-1], "--once")[0], 5)
    code, _, err = t.command("check", sluice.argv[-1])
    assert "verify: no template has mode versioned or populate" in err, err
    other = users(t, verify=None)
    code, out, err = t.command("verify", f"http://127.0.0.1:{other.port()}")
    equal((code, "doesn't look at keys again" in err), (5, True), out + err)


def test_a_sample_says_its_chance_and_what_finds_no_room_is_counted(t):
    sluice = users(t, verify={"sample": "1/10", "rate": 1, "waiting": 100})
    sluice.port()
    t.add_many((t.stream(n), {"id": n, "name": "a", "_version": 1}) for n in range(1, 3001))
    t.settle()
    verify = wait_for("what was told", lambda: [v for v in [sluice.status()["verify"]] if v["told"] == 3000 and v["waiting"]])[0]
    assert 200 < verify["picked"] < 400 and verify["dropped_full"] == verify["picked"] - 100 and verify["waiting"] == 100, verify
    wait_for("looks that are too late", lambda: sluice.status()["verify"]["late"] > 50)
    assert 1 <= looks(sluice)["checks"] < 30, "the rate bounds them"
    out = t.command("verify", f"http://127.0.0.1:{sluice.port()}")[1]
    chance = float(re.search(r"is found with a chance of ([0-9.]+) %", out)[1])
    assert abs(chance - 1000 / verify["picked"]) < 0.1 and "not looked at:" in out, out


def test_servers_that_are_away_cost_looks_and_never_the_write_path(t):
    t.own_redis()
    sluice = users(t, proxy=True)
    sluice.port()
    t.user(1, name="a", _version=1)
    wait_for("a look", lambda: looks(sluice)["checks"] == 1)
    stopped = t.redis_server
    t.mysql.sql("SELECT 1")
    for connection in t.mysql.sql("SELECT id FROM information_schema.processlist WHERE user = 'sluice'"):
        try:
            t.mysql.sql(f"KILL {connection[0]}")
        except Exception:  # it is gone already
            pass
    t.user(1, name="b", _version=2)
    t.settle()
    wait_for("it looks again", lambda: looks(sluice)["checks"] + sluice.status()["verify"]["late"] >= 2)
    t.user(1, name="c", _version=3)
    wait_for("and again", lambda: looks(sluice)["checks"] >= 2)
    equal(looks(sluice)["wrong"], 0)
    assert stopped.alive()


def test_a_row_in_another_spelling_is_the_same_row(t):
    t.sql("CREATE TABLE names (name VARCHAR(20) PRIMARY KEY, n INT, ver BIGINT) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    t.redis.function_load(SOURCE, replace=True)
    path = t.write_config(sources=[{"streams": t.prefix + ":n", "table": "names"}],
                          tables={"users": None, "names": {"version": "ver", "invalidate": [{"key": t.prefix + ":v:{name}", "mode": "versioned"}]}})
    t.sql("INSERT INTO names VALUES ('Bob', 1, 2), ('ann', 1, 2), ('eve', 1, 2)")
    for name, version in (("bob", 1), ("ANN", 2), ("eve", 2)):
        cache = Cache(t.redis, load=False)
        cache.filled(f"{t.prefix}:v:{name}", version)
    code, out, err = t.command("verify", path, "--once", seconds=40)
    equal(code, 1, out + err)
    assert re.search(r" 0\.5 +3 +1 +0 +0 +3$", out, re.M) and " older " in out, out


def test_a_walk_is_bounded_by_sample_rate_and_time(t):
    users(t, verify=None).port()
    t.add_many((t.stream(n), {"id": n, "name": "a", "_version": 1}) for n in range(1, 401))
    t.settle()
    fill(t, range(1, 401), 1)
    t.redis.hset(t.prefix + ":v:word", mapping={"a": 1})
    path = t.sluices[-1].argv[-1]
    began = time.monotonic()
    code, out, err = t.command("verify", path, "--once", "--rate", "200")
    equal(code, 0, out + err)
    assert 1.5 < time.monotonic() - began, "400 at 200 a second"
    assert re.search(r">= 2\.6 +400 +0 +0 +1 +401$", out, re.M), out
    out = t.command("verify", path, "--once", "--sample", "1/4")[1]
    assert 50 < int(re.search(r"nines.*\n.*>= [12]\.\d +(\d+) ", out)[1]) < 150, out
    out = t.command("verify", path, "--once", "--rate", "50", "--for", "1s")[1]
    assert "ended before all keys were seen" in out, out
    for words in (("--sample", "1/2"), ("--once",), (path, "--once", "--rate", "0"), (path, "--once", "--sample", "off"), (path, "--once", "--for", "x"),
                  (path, "--once", "--table", "nosuch")):
        equal(t.command("verify", *words)[0], 2, words)


if os.environ.get("LOOKS"):  # five minutes
    @limit(400)
    def test_the_looks_after_a_minute_and_five_come_too_though_nothing_else_happens(t):
        sluice = users(t, proxy=True)
        sluice.port()
        for n in (1, 2, 3):
            t.user(n, name="a", _version=1)
        t.settle()
        fill(t, [1, 2, 3], 1)
        drop(t, 2)
        for n in (1, 2, 3):
            t.user(n, name="b", _version=2)
        for within, seconds in (("1s", 10), ("1m", 75), ("5m", 290)):
            wait_for(within, lambda: looks(sluice, within=within)["checks"] == 6, seconds, 0.5)
        wrong = sluice.status()["verify"]["wrong"]
        equal([(w["within"], w["what"], w["told_version"]) for w in wrong], [("5m", "older", "2")])
        equal([sluice.status()["verify"][name] for name in ("late", "waiting")], [0, 0])
        wait_for("a session that nobody needs ends", lambda: not t.mysql.sql(
            "SELECT 1 FROM information_schema.processlist WHERE user = 'sluice' AND time >= 3 AND command = 'Sleep' AND db = %s", (t.db,)), 30)
