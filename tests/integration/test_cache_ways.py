"""Ways to invalidate beside delete: versioned, generation, table, tag; what the worker does with their answers."""
import json, os, re
import redis
from cache_functions import HOUR, NONE, SOURCE, VERSIONED, Cache, deleted, reader, row, start, user
from support import TOP, Redis, equal, limit, wait_for

TAG = {"key": "user:{id}:keys", "mode": "tag", "quarantine": "10s"}


def answers(process):
    return {word: process.metric("sluice_invalidation_answers_total", answer=word) for word in ("NEW", "KEPT", "SAME", "OLD")}


def test_a_change_removes_the_entry_and_no_slow_reader_brings_it_back(t):
    process, server = start(t)
    cache = reader(server)
    user(t, 1, 1, name="a")
    t.settle()
    cache.filled("user:1", 1, "a")
    user(t, 1, 2, name="b")
    t.settle()
    token, floor = cache.load("user:1")
    equal(floor, row(2))
    equal(cache.fill("user:1", token, 1, "a", HOUR), "OLD")
    token, _ = cache.load("user:1")
    user(t, 1, 3, name="c")
    t.settle()
    equal(cache.fill("user:1", token, 2, "b", HOUR), "LEASE_LOST")
    cache.filled("user:1", 3, "c")
    equal(cache.get("user:1")[:2], ["HIT", "c"])
    equal(answers(process)["NEW"], 3)


def test_a_late_change_never_removes_a_fresher_value(t):
    process, server = start(t)
    cache = reader(server)
    user(t, 1, 5, name="e")
    t.settle()
    cache.filled("user:1", 5, "e")
    user(t, 1, 4, name="d")
    t.settle()
    equal(cache.get("user:1")[:2], ["HIT", "e"])
    cache.forget("user:1")
    cache.filled("user:1", 5, "e")
    user(t, 1, 3, name="c"), t.settle()
    user(t, 1, 3, name="c"), t.settle()
    equal(cache.get("user:1")[:2], ["HIT", "e"])
    seen = answers(process)
    assert seen["KEPT"] == 1 and seen["SAME"] == 1 and seen["OLD"] == 1, seen


def test_a_deletion_carries_its_kind_and_a_row_may_come_again(t):
    process, server = start(t)
    cache = reader(server)
    user(t, 1, 1, name="a"), t.settle()
    user(t, 1, 2, _op="delete"), t.settle()
    token, floor = cache.load("user:1")
    equal(floor, deleted(2))
    equal(cache.fill("user:1", token, 1, "a", HOUR), "OLD", "a reader of the deleted row")
    token, floor = cache.load("user:1")
    equal(cache.fill_none("user:1", token, floor, HOUR), "OK")
    user(t, 1, 3, name="again"), t.settle()
    cache.filled("user:1", 3, "again")


def test_one_call_a_key_and_batch_with_the_highest_version(t):
    process, server = start(t, batch={"max_delay": "50ms"})
    process.stop()
    cache = reader(server)
    cache.filled("user:1", 1, "x", 0), cache.filled("user:2", 1, "x", 0)
    t.add_many((t.stream(1), {"id": 1, "name": str(n), "_version": 2 + (n * 7) % 300}) for n in range(300))
    user(t, 2, 9, name="a")
    calls = lambda: server.client().info("commandstats")["cmdstat_fcall"]["calls"]
    before = calls()
    process.start()
    t.settle()
    batches = process.metric("sluice_batches_total")
    equal(t.row("SELECT ver FROM users WHERE id = 1"), (301,))
    equal(cache.hash("user:1"), {"m": row(301)})
    assert calls() - before <= 2 * batches + 2 and batches < 100, (calls() - before, batches)


def test_a_refused_change_s_version_is_told_nobody(t):
    process, server = start(t)
    cache = reader(server)
    user(t, 1, 1, name="a"), t.settle()
    cache.filled("user:1", 1, "a")
    user(t, 1, 100, name="x" * 30), user(t, 1, 99, _op="incr", credits=-5), t.settle()
    equal(t.reasons(), ["bad_value", "out_of_range"])
    equal(cache.get("user:1")[:2], ["HIT", "a"])
    cache.forget("user:1")
    cache.filled("user:1", 1, "a")


def test_invalidate_without_a_version_is_the_unversioned_form(t):
    process, server = start(t, {**VERSIONED, "quarantine": "1s"})
    cache = reader(server)
    cache.filled("user:1", 7, "a")
    t.user(1, _op="invalidate"), t.settle()
    assert cache.get("user:1")[0] in ("MISS", "LOAD")
    cache.over("user:1")
    user(t, 1, 9, _op="invalidate"), t.settle()
    equal(cache.hash("user:1")["m"], row(9))


def test_markers_live_as_long_as_configured(t):
    process, server = start(t, {**VERSIONED, "marker": "20s", "marker_absent": "0"})
    cache = reader(server)
    user(t, 1, 1, name="a"), t.settle()
    equal(cache.client.exists("user:1"), 0)
    cache.filled("user:1", 1, "a")
    user(t, 1, 2, name="b"), t.settle()
    assert 0 < cache.client.pttl("user:1") <= 20_000


def test_versions_above_2_to_the_53_are_exact_all_the_way(t):
    process, server = start(t)
    cache = reader(server)
    top = 2**64 - 1
    user(t, 1, top - 1, name="a"), t.settle()
    cache.filled("user:1", top - 1, "a")
    user(t, 1, top, name="b"), t.settle()
    token, floor = cache.load("user:1")
    equal(floor, row(top))
    equal(cache.fill("user:1", token, top - 1, "a", HOUR), "OLD")


def test_a_lost_library_is_loaded_again_and_no_call_is_lost(t):
    process, server = start(t)
    cache = reader(server)
    user(t, 1, 1, name="a"), t.settle()
    for version in (2, 3):
        cache.filled("user:1", version - 1, "old")
        if version == 2:
            server.client().function_flush()
        else:
            server.kill()
            server.start()
            wait_for("the cache is back", server.client().ping)
            cache.client.function_load(SOURCE)
            cache.filled("user:1", version - 1, "old")
            cache.client.function_flush()
        user(t, 1, version, name="b"), t.settle()
        equal(cache.hash("user:1"), {"m": row(version)})
    process.logged("event=cache_", "lost the function library")


def without_functions(server):
    server.client().execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-fcall", "-function")
    return {"url": f"redis://app:pw@127.0.0.1:{server.port}"}


def test_where_functions_are_denied_the_script_does_it(t):
    process, server = start(t, cache=without_functions)
    server.client().function_load(SOURCE)
    cache = reader(server)
    cache.filled("user:1", 1, "a")
    user(t, 1, 2, name="b"), t.settle()
    equal(cache.hash("user:1"), {"m": row(2)})
    cache.client.script_flush()
    user(t, 1, 3, name="b"), t.settle()
    equal(cache.hash("user:1"), {"m": row(3)})
    server.client().execute_command("ACL", "SETUSER", "app", "-evalsha")
    code, _, err = t.command("check", process.config, "--connect")
    assert code == 78 and "neither functions nor scripts" in err, err


def test_the_readme_s_rights_are_enough(t):
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
        rights = re.search(r"```\nACL SETUSER sluice (\+fcall .*?)```", readme.read(), re.S)[1].split()

    def bound(server):
        server.client().execute_command("ACL", "SETUSER", "app", "on", ">pw", "-@all", "~user:*", "~gen:*", "~users:gen", "+ping",
                                        "+select", "+client|setname", *rights)
        return {"url": f"redis://app:pw@127.0.0.1:{server.port}"}
    process, server = start(t, VERSIONED, TAG, {"key": "gen:{id}", "mode": "generation"}, {"key": "users:gen", "mode": "table", "ttl": "1h"},
                            cache=bound)
    equal(t.command("functions", "load", process.config)[0], 0)
    app = Cache(redis.Redis(host="127.0.0.1", port=server.port, username="app", password="pw"), load=False)
    app.filled("user:1", 1, "a", 0), app.filled("user:page:1", NONE, "x"), app.generation("gen:1"), app.generation("users:gen", HOUR)
    server.client().sadd("user:1:keys", "user:page:1")
    user(t, 1, 2, name="a"), t.user(2, _op="invalidate"), t.settle()
    equal(app.get("user:1")[0], "LOAD")
    equal(app.get("user:page:1")[0], "MISS")
    equal(server.client().exists("user:1:keys"), 0)
    assert app.invalidate("user:1", 3) == "NEW" and app.invalidate("user:1", 2) == "OLD" and app.drop("user:1") == "OK" and app.populate("user:1", 1, "x", HOUR, "", "", "", 1) == "OK"
    equal(app.refresh("user:1", app.get("user:1")[3], 1, "y", HOUR), "OK")
    equal(app.fill_none("user:none", *app.load("user:none"), HOUR), "OK")
    equal(app.get("user:none")[:2], ["HIT", None])
    # what watches the cache does without what is denied
    denied = [line for line in server.client().execute_command("ACL", "LOG") if b"name=sluice-cache-watch" not in b" ".join(part for part in line if isinstance(part, bytes))]
    equal(denied, [], "a denied command")
    code, _, err = t.command("check", process.config, "--connect")
    assert code == 0, err


def test_a_key_that_holds_something_else_is_counted_named_and_passed(t):
    process, server = start(t, VERSIONED, {"key": "number:{id}", "mode": "generation"}, {"key": "tag:{id}", "mode": "tag"})
    cache = reader(server)
    client = server.client()
    client.set("user:1", "plain"), client.hset("number:1", "a", "b"), client.set("tag:1", "plain")
    cache.filled("user:2", 1, "x")
    client.hset("user:3", "q", "theirs")
    user(t, 1, 2, name="a"), user(t, 3, 2, name="c"), user(t, 2, 2, name="b"), t.settle()
    equal(client.get("user:1"), b"plain")
    equal(cache.hash("user:3"), {"q": "theirs"})
    equal(cache.hash("user:2"), {"m": row(2)})
    equal(process.metric("sluice_invalidations_refused_total"), 4)
    process.logged("event=invalidation_refused", "user:{id}", "WRONGTYPE")
    assert "user:1" not in process.text(), "a key carries row values"


def test_at_oom_an_entry_is_invalidated_all_the_same(t):
    process, server = start(t)
    cache = reader(server)
    user(t, 1, 1, name="a"), t.settle()
    cache.filled("user:1", 1, "a")
    cache.client.config_set("maxmemory", 1)
    user(t, 1, 2, name="b"), t.settle()
    cache.client.config_set("maxmemory", 0)
    equal(cache.hash("user:1"), {"m": row(2)})


def test_generations_rise_and_start_above_all_before(t):
    process, server = start(t, {"key": "gen:{id}", "mode": "generation", "ttl": "1h"}, {"key": "users:gen", "mode": "table"}, version=None)
    cache = reader(server)
    one, other, table = cache.generation("gen:1"), cache.generation("gen:2"), cache.generation("users:gen")
    t.user(1, name="a"), t.settle()
    assert int(cache.generation("gen:1")) > int(one) and int(cache.generation("users:gen")) > int(table)
    equal(cache.generation("gen:2"), other)
    assert 0 < cache.client.pttl("gen:1") <= HOUR
    equal(cache.client.pttl("users:gen"), -1)
    cache.forget("gen:1")
    t.user(1, name="b"), t.settle()
    equal(cache.client.exists("gen:1"), 0, "the next reader makes it")
    assert int(cache.generation("gen:1")) > int(one)


def test_a_tag_s_members_are_invalidated_and_leave(t):
    process, server = start(t, TAG, version=None)
    cache, client = reader(server), server.client()
    for number in range(30):
        client.sadd("user:1:keys", f"user:page:{number}")
        cache.filled(f"user:page:{number}", NONE, "x")
        client.sadd("user:1:keys", f"user:plain:{number}")
        client.set(f"user:plain:{number}", "x")
    client.set("user:other", "x"), client.sadd("user:2:keys", "user:other"), client.sadd("user:1:keys", "user:gone")
    slow, floor = cache.load("user:page:slow")
    client.sadd("user:1:keys", "user:page:slow")
    t.user(1, name="a"), t.settle()
    equal(cache.fill("user:page:slow", slow, floor, "x", HOUR), "LEASE_LOST", "a slow reader of a member")
    equal(cache.get("user:page:3"), ["MISS"])
    equal(client.exists("user:1:keys", *(f"user:plain:{number}" for number in range(30))), 0)
    equal((client.get("user:other"), client.smembers("user:2:keys")), (b"x", {b"user:other"}))


def test_a_set_that_names_itself_stays(t):
    _, server = start(t, TAG, version=None)
    client = server.client()
    members = [f"user:page:{n}" for n in range(300)]
    client.mset({name: "x" for name in members}), client.sadd("user:1:keys", "user:1:keys", *members)
    t.user(1, name="a"), t.settle()
    equal((client.exists(*members), client.smembers("user:1:keys")), (0, {b"user:1:keys"}))


@limit(90)
def test_a_large_tag_is_done_page_by_page_and_never_names_a_lane(t):
    process, server = start(t, TAG, version=None, cache=lambda server: None)
    client = t.redis
    for first in range(0, 20_000, 1000):
        client.sadd("user:1:keys", *(f"{t.prefix}:page:{n}" for n in range(first, first + 1000)))
    client.sadd("user:1:keys", t.stream(), "sluice:x")
    client.mset({f"{t.prefix}:page:{n}": "x" for n in range(20_000)})
    client.set("sluice:x", "x")
    t.user(1, name="a"), t.settle(60)
    equal(client.exists(*(f"{t.prefix}:page:{n}" for n in range(20_000))), 0)
    equal(client.smembers("user:1:keys"), {t.stream().encode(), b"sluice:x"})
    equal(client.get("sluice:x"), b"x")
    equal(process.metric("sluice_invalidations_skipped_total"), 2)
    assert process.rss_mib() < 40, process.rss_mib()


def test_a_member_that_joins_meanwhile_is_not_lost(t):
    """Between its invalidation and its leaving it can't be filled; afterwards it joins again."""
    process, server = start(t, {**TAG, "quarantine": "1s"}, version=None)
    cache, client = reader(server), server.client()
    for turn in range(30):
        for number in range(20):
            client.sadd("user:1:keys", f"user:page:{number}")
        t.user(1, name=str(turn))
        for number in range(200):
            key = f"user:page:{number % 20}"
            client.sadd("user:1:keys", key)
            answer = cache.get(key)
            if answer[0] == "LOAD":
                cache.fill(key, answer[1], answer[2], f"{turn}", HOUR)
            if answer[0] == "HIT":
                assert client.sismember("user:1:keys", key) or cache.get(key)[0] != "HIT", key
    t.settle()


def test_a_put_value_is_settled_by_the_worker(t):
    process, server = start(t, cache=lambda server: None)
    cache = Cache(t.redis)
    read = lambda: cache.get("user:1")[:2]

    def put(version, base, name, **more):
        fields = [word for pair in {"id": 1, "name": name, **more}.items() for word in pair]
        equal(cache.put("user:1", t.stream(1), version, base, name, HOUR, 1000, *fields)[0], "OK")
    cache.forget("user:1")
    put(1, 0, "a"), t.settle()
    equal((read(), t.row("SELECT name, ver FROM users")), (["HIT", "a"], ("a", 1)))
    equal("b" in cache.hash("user:1"), False)
    process.stop()
    put(2, 1, "b"), put(3, 2, "c")
    equal(read(), ["HIT", "c"])
    process.start(), t.settle()
    equal(read(), ["HIT", "c"], "puts one after the other")
    process.stop()
    user(t, 1, 4, credits=5)
    put(5, 3, "d")
    process.start(), t.settle()
    equal(t.row("SELECT name, credits, ver FROM users"), ("d", 5, 5))
    equal(cache.hash("user:1"), {"m": row(5)}, "someone else wrote in between")
    put(6, 5, "x" * 30)
    wait_for("it is refused, and goes", lambda: cache.get("user:1")[0] in ("LOAD", "WAIT"))
    equal(t.reasons(), ["bad_value"])
    cache.forget("user:1")
    process.stop()
    put(7, 5, "e"), cache.forget("user:1")
    token, _ = cache.load("user:1")
    equal(cache.fill("user:1", token, 5, "d", HOUR), "OK", "evicted before its commit: read back old until then")
    process.start(), t.settle()
    equal(cache.hash("user:1"), {"m": row(7)})
    cache.forget("user:1")


def test_versioned_wants_the_whole_primary_key(t):
    t.sql("CREATE TABLE users (id INT, nr INT, ver BIGINT, name VARCHAR(100), PRIMARY KEY (id, nr))")
    path = t.write_config(tables={"users": {"version": "ver", "invalidate": [VERSIONED, {"key": "u:{id}:{nr}", "mode": "versioned"}]}})
    code, _, err = t.command("check", path, "--connect")
    equal(code, 78)
    assert re.search(r"user:\{id\}.*whole primary key", err), err


def test_check_warns_of_keys_that_can_be_long(t):
    t.sql("CREATE TABLE users (id VARCHAR(60) PRIMARY KEY) CHARACTER SET utf8mb4")
    code, _, err = t.command("check", t.write_config(tables={"users": {"invalidate": ["user:{id}"]}}), "--connect")
    assert code == 0 and "can be 245 bytes" in err, err
