"""Cache keys: deleted after the commit, again after a crash, never a lane."""
from support import Redis, app_keys, equal, stays, wait_for


def with_cache(t, *templates, **more):
    """A sluice whose cache is a Redis of its own; answers (process, client)."""
    cache = Redis(t.dir).up()
    t.own.append(cache)
    process = t.sluice(cache={"url": cache.url}, tables={"users": {"invalidate": list(templates) or ["user:{id}"]}}, **more)
    return process, cache


def test_keys_are_deleted_after_the_commit(t):
    t.users()
    _, server = with_cache(t, "user:{id}", "page:{id}:full", "users:all")
    cache = server.client()
    for key in ("user:1", "page:1:full", "users:all", "user:2", "user:10", "other"):
        cache.set(key, "old")
    t.user(1, name="a")
    wait_for("the keys are gone", lambda: not cache.exists("user:1", "page:1:full", "users:all"))
    equal(t.row("SELECT name FROM users"), ("a",), "the row was not there before")
    equal(cache.exists("user:2", "user:10", "other"), 3)
    t.settle()


def test_a_key_is_never_deleted_before_its_row_is_there(t):
    t.users()
    _, server = with_cache(t)
    cache = server.client()
    lock = t.mysql.connect(t.db)
    lock.begin()
    t.sql("INSERT INTO users (id, name) VALUES (1, 'old')")
    lock.cursor().execute("SELECT * FROM users WHERE id = 1 FOR UPDATE")
    cache.set("user:1", "old")
    t.user(1, name="new")
    stays("the key stays while the row waits", lambda: cache.exists("user:1"), 1.5)
    lock.rollback()
    lock.close()
    wait_for("the key is gone", lambda: not cache.exists("user:1"))
    equal(t.row("SELECT name FROM users"), ("new",))


def test_every_operation_deletes_and_invalidate_writes_nothing(t):
    t.users()
    _, server = with_cache(t)
    cache = server.client()
    t.user(1, name="a")
    t.settle()
    for fields in ({"name": "b"}, {"_op": "update", "name": "c"}, {"_op": "incr", "credits": 1}, {"_op": "invalidate"}, {"_op": "delete"},
                   {"_op": "update", "name": "nobody"}):
        cache.set("user:1", "old")
        t.user(1, **fields)
        wait_for(f"deleted after {fields}", lambda: not cache.exists("user:1"))
    equal(t.sql("SELECT * FROM users"), ())


def test_two_rows_never_share_a_key(t):
    t.sql("CREATE TABLE users (tenant VARCHAR(20), handle VARCHAR(20) COLLATE utf8mb4_bin, v INT, PRIMARY KEY (tenant, handle)) CHARACTER SET utf8mb4")
    _, server = with_cache(t, "profile:{tenant}:{handle}")
    cache = server.client()
    for key in ("profile:a:b%3Ac", "profile:a%3Ab:c", "profile:a:b:c", "profile:1:ann é"):
        cache.set(key, "old")
    t.redis.xadd(t.stream(), {"tenant": "a:b", "handle": "c", "v": 1})
    t.redis.xadd(t.stream(), {"tenant": "1", "handle": "ann é", "v": 1})
    t.settle()
    equal(app_keys(cache), ["profile:a:b%3Ac", "profile:a:b:c"])


def test_an_entry_skipped_while_the_cache_is_away_is_passed(t):
    t.users()
    process, server = with_cache(t, entry_max="64KiB")
    here = t.prefix + ":users:0"
    t.redis.xadd(here, {"id": 1, "name": "a"})
    t.settle()
    server.kill()
    t.redis.xadd(here, {"id": 1, "name": "b"})
    big = t.redis.xadd(here, {"id": 2, "name": "x" * 200_000})
    t.redis.xadd(here, {"id": 3, "name": "c"})
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted")
    code, out, err = t.lane("skip", here, big.decode())
    equal(code, 0, out + err)
    wait_for("it goes on", lambda: t.row("SELECT name FROM users WHERE id = 3") == ("c",))
    process.kill()  # and whoever reads from done again meets it again
    process.start()
    t.redis.xadd(here, {"id": 4, "name": "d"})
    wait_for("and on", lambda: t.row("SELECT name FROM users WHERE id = 4") == ("d",))
    server.start()
    cache = server.client()
    wait_for("the cache is back", cache.ping)
    t.settle()
    equal((t.row("SELECT COUNT(*) FROM users"), t.dead()), ((3,), ()))


def test_a_crash_between_commit_and_delete_deletes_again(t):
    t.users()
    process, server = with_cache(t)
    t.user(1, name="a")
    t.settle()
    server.kill()
    for key in range(200):
        t.user(key, name="b")
    wait_for("rows go on without the cache", lambda: t.row("SELECT COUNT(*) FROM users WHERE name = 'b'") == (200,))
    assert t.behind(), "done must wait for the cache"
    process.kill()
    server.start()
    cache = server.client()
    wait_for("the cache is back", cache.ping)
    for key in range(200):
        cache.set(f"user:{key}", "old")
    process.start()
    t.settle()
    equal(len(app_keys(cache)), 0)
    equal(t.row("SELECT COUNT(*) FROM users"), (200,))


def test_with_the_cache_away_rows_go_on_and_keys_follow(t):
    t.users()
    process, server = with_cache(t)
    t.user(1, _op="incr", credits=1)
    t.settle()
    server.kill()
    for key in range(2000):
        t.user(key % 500, _op="incr", credits=1)
    wait_for("rows go on", lambda: t.row("SELECT SUM(credits) FROM users") == (2001,))
    wait_for("it is visible", lambda: process.get("/healthz")[0] == 503 and "cache" in process.get("/healthz")[1])
    equal(process.get("/readyz")[0], 200)
    server.start()
    cache = server.client()
    wait_for("the cache is back", cache.ping)
    for key in range(500):
        cache.set(f"user:{key}", "old")
    t.settle()
    equal(len(app_keys(cache)), 0)
    equal(t.row("SELECT SUM(credits) FROM users"), (2001,), "increments were repeated")
    wait_for("healthy", lambda: process.get("/healthz")[0] == 200)


def test_beyond_invalidate_lag_max_rows_stop_too(t):
    t.users()
    process, server = with_cache(t, invalidate_lag_max="1MiB")
    t.user(1, name="a")
    t.settle()
    server.kill()
    t.add_many((t.stream(key), {"id": key, "name": "x" * 60, "email": "y" * 120}) for key in range(20_000))
    count = lambda: t.row("SELECT COUNT(*) FROM users")[0]
    wait_for("rows stop", lambda: "invalidate_lag_max" in process.get("/healthz")[1], 30)
    stopped = count()
    assert stopped < 20_000, "rows did not stop"
    stays("they stay stopped", lambda: count() <= stopped + 1000, 1)
    server.start()
    t.settle(40)
    equal(count(), 20_000)


def test_a_cache_that_refuses_is_tried_again(t):
    t.users()
    process, server = with_cache(t)
    t.user(1, name="a")
    t.settle()
    cache = server.client()
    cache.set("user:1", "old")
    cache.config_set("min-replicas-to-write", 1)
    t.user(1, name="b")
    wait_for("the row is written", lambda: t.row("SELECT name FROM users") == ("b",))
    wait_for("it is visible", lambda: process.status()["breakers"]["cache"]["state"] != "closed")
    equal(cache.exists("user:1"), 1)
    cache.config_set("min-replicas-to-write", 0)
    t.settle()
    equal(cache.exists("user:1"), 0)


def test_a_template_that_can_name_a_lane_or_a_key_of_ours_is_refused(t):
    t.users()
    for template in ("{id}", t.prefix + ":{id}", "sluice:{id}"):
        code, out, err = t.command("check", t.write_config(tables={"users": {"invalidate": [template]}}))
        equal(code, 78, f"{template}: {out + err}")
        assert "invalidate" in out + err or template in out + err, out + err


def test_the_source_s_redis_is_the_cache_by_default(t):
    t.users()
    t.redis.set(f"{t.prefix}:user:7", "old")
    t.sluice(tables={"users": {"invalidate": [t.prefix + ":user:{id}"]}})
    t.user(7, name="a")
    t.settle()
    equal(t.redis.exists(f"{t.prefix}:user:7"), 0)


def test_a_refused_entry_deletes_no_key_of_another(t):
    t.users()
    _, server = with_cache(t)
    cache = server.client()
    cache.set("user:1", "old"), cache.set("user:", "old"), cache.set("user:abc", "old")
    t.user("abc", name="x"), t.redis.xadd(t.stream(), {"name": "no key"})
    t.settle()
    equal((len(t.dead()), len(app_keys(cache))), (2, 3))
