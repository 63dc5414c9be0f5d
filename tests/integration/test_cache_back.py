"""A cache that goes back to an older state: what it lost is invalidated again as far as the lanes hold it, or said."""
import json

from fault_proxy import FaultProxy
from support import Redis, app_keys, equal, wait_for

KEY = "sluice:default:answered"
KEYS = [f"user:{n}" for n in range(50)]
AT_ONCE = "--repl-diskless-sync-delay", "0"


def start(t, template="user:{id}", **more):
    """Something is written and noted; answers (process, server)."""
    t.users()
    server = Redis(t.dir, *AT_ONCE).up()
    t.own.append(server)
    process = t.sluice(cache={"url": server.url}, tables={"users": {"invalidate": [template]}}, **more)
    for n in range(2):
        t.user(lanes_key(t, n), name="first")
    t.settle()
    equal(sorted(noted(t, server.client())), sorted(f"default/redis/{s}" for s in t.streams()))
    return process, server


def lanes_key(t, n):
    """A user of lane n."""
    return next(key for key in range(100, 200) if t.stream(key) == t.streams()[n])


def stale(server, value="old"):
    server.client().mset({key: value for key in [*KEYS, "user:never"]})


def change_all(t, name):
    for n in range(50):
        t.user(n, name=name)
    t.settle()


def back_to_snapshot(t, server):
    """Values of before a change come back with the state that the cache saved then."""
    stale(server)
    server.client().save()
    change_all(t, "new")
    equal(app_keys(server.client()), ["user:never"])
    server.kill()
    server.up()
    nudge(t)
    return server.client()


def nudge(t):
    """What is new is noted within a second; an idle lane is looked at each 2 s."""
    for n in range(2):
        t.user(lanes_key(t, n), name="nudge")


def test_a_cache_restored_from_an_old_snapshot_is_invalidated_again(t):
    process, server = start(t, keep="1h", on_cache_lost="flush")  # which isn't needed
    before = t.ledger()
    cache = back_to_snapshot(t, server)
    wait_for("no stale key", lambda: app_keys(cache) == ["user:never"])
    wait_for("both lanes are through", lambda: len(process.events("cache_invalidated_again")) == 2)
    assert all("all=yes" in line for line in process.events("cache_invalidated_again"))
    equal(len(process.events("cache_went_back")), 2)
    equal([t.lane_status(s)["alarm"] for s in t.streams()], [None, None])
    assert 50 <= process.metric("sluice_invalidated_again_total") <= 52, "50 changes, and perhaps what was added meanwhile"
    t.settle()
    assert set(before) == set(t.ledger())
    equal(t.row("SELECT COUNT(*) FROM users WHERE name = 'new'"), (50,))
    equal(process.metric("sluice_cache_flushes_total"), 0)
    # and the note is where it was: nothing is done twice
    wait_for("noted anew", lambda: noted(t, cache) == done(t))
    equal(len(process.events("cache_went_back")), 2)


def noted(t, cache):
    return {name.decode(): place.decode() for name, place in cache.hgetall(KEY).items()}


def done(t):
    return {f"default/redis/{stream}": row["done"] for stream, row in t.ledger().items()}


def test_what_the_lane_no_longer_holds_is_an_alarm(t):
    process, server = start(t)
    cache = back_to_snapshot(t, server)
    for stream in t.streams():
        wait_for("the alarm", lambda s=stream: t.lane_status(s)["alarm"] == "cache_lost")
    assert all("all=no" in line for line in process.events("cache_invalidated_again"))
    equal(len(app_keys(cache)) > 1, True)
    code, _, err = t.lane("ack", t.streams()[0])
    equal(code, 0, err)
    wait_for("it is acknowledged", lambda: t.lane_status(t.streams()[0])["alarm"] is None)
    t.user(1, name="goes on")
    t.settle()


def test_a_cache_that_went_back_while_no_sluice_ran_is_seen(t):
    process, server = start(t, keep="1h")
    stale(server)
    server.client().save()
    change_all(t, "new")
    process.kill()
    server.kill()
    server.up()
    equal(len(app_keys(server.client())), 51)
    process.start()
    # a new owner trims nothing before `keep` has gone by
    wait_for("no stale key", lambda: app_keys(server.client()) == ["user:never"])


def test_a_rollback_under_the_same_ids_is_seen(t):
    process, server = start(t, keep="1h")
    cache = server.client()
    old = cache.dump(KEY)
    change_all(t, "new")
    stale(server)
    cache.restore(KEY, 0, old, replace=True)
    wait_for("no stale key", lambda: app_keys(cache) == ["user:never"])


def test_an_emptied_cache_asks_for_nothing(t):
    process, server = start(t, keep="1h")
    cache = server.client()
    change_all(t, "new")
    cache.flushall()
    t.user(1, name="later")
    t.settle()
    wait_for("noted anew", lambda: noted(t, cache) == done(t))
    server.kill()  # without persistence it comes back empty
    server.up()
    t.user(2, name="later")
    t.settle()
    wait_for("noted anew", lambda: noted(t, server.client()) == done(t))
    equal([process.events("cache_went_back"), process.metric("sluice_invalidated_again_total")], [[], 0])
    equal([t.lane_status(s)["alarm"] for s in t.streams()], [None, None])


def test_data_from_before_the_first_note_is_invalidated_as_far_as_it_is_held(t):
    process, server = start(t, keep="1h")
    change_all(t, "new")
    cache = server.client()
    saved = cache.dump(KEY)
    cache.delete(KEY)
    stale(server)
    cache.save()
    cache.restore(KEY, 0, saved)
    server.kill()
    server.up()
    nudge(t)
    wait_for("no stale key", lambda: app_keys(server.client()) == ["user:never"])
    assert any("found=older_data" in line for line in process.events("cache_went_back"))
    for stream in t.streams():
        wait_for("what was before is an alarm", lambda s=stream: t.lane_status(s)["alarm"] == "cache_lost")


def test_a_note_that_is_evicted_meanwhile_ends_nothing(t):
    t.users()
    server = Redis(t.dir).up()
    t.own.append(server)
    proxy = FaultProxy(server.port).start()
    process = t.sluice(cache={"url": server.url_at(proxy.port), "timeout": "20s"}, tables={"users": {"invalidate": ["user:{id}"]}}, keep="1h")
    change = lambda name: t.add_many((t.stream(n), {"id": n, "name": name}) for n in range(3000))
    change("first")
    t.settle()
    server.client().mset({f"user:{n}": "old" for n in range(3000)})
    server.client().save()
    change("new")
    t.settle()
    server.kill()
    server.up()
    proxy.delay(0.2)  # one round trip a step, so that many looks fall in between
    nudge(t)
    process.logged("event=cache_went_back")
    cache = server.client()

    def is_done():
        cache.delete(KEY)
        return not app_keys(cache)
    wait_for("no stale key", is_done)
    proxy.stop()


def test_a_promoted_replica_that_lacked_the_last_writes(t):
    process, server = start(t, keep="1h")
    replica = Redis(t.dir, *AT_ONCE, "--replicaof", "127.0.0.1", str(server.port)).up()
    t.own.append(replica)
    stale(server)
    wait_for("it has them", lambda: replica.client().info("replication")["master_link_status"] == "up" and replica.client().exists("user:never"))
    replica.client().replicaof("no", "one")  # the link is cut: what follows never reaches it
    change_all(t, "new")
    equal(len(app_keys(replica.client())), 51)
    server.kill()
    server.argv += ["--replicaof", "127.0.0.1", str(replica.port)]
    server.up()
    cache = server.client()
    wait_for("its data are behind the old address", lambda: cache.info("replication")["master_link_status"] == "up")
    cache.replicaof("no", "one")
    nudge(t)
    wait_for("no stale key", lambda: app_keys(cache) == ["user:never"])


def test_versioned_entries_are_invalidated_again_by_their_version(t):
    from cache_functions import SOURCE
    t.sql("CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(20), ver BIGINT)")
    server = Redis(t.dir).up()
    t.own.append(server)
    cache, stream = server.client(), t.prefix + ":items"
    process = t.sluice(cache={"url": server.url}, keep="1h", sources=[{"streams": stream, "table": "items"}],
                       tables={"users": None, "items": {"version": "ver", "invalidate": [{"key": "item:{id}", "mode": "versioned"}]}})
    t.redis.xadd(stream, {"id": 1, "name": "a", "_version": 5})
    t.redis.xadd(stream, {"id": 2, "name": "a", "_version": 5})
    t.settle(streams=[stream])
    cache.function_load(SOURCE, replace=True)
    fill(cache, "item:1", 5), fill(cache, "item:2", 5)
    cache.save()
    t.redis.xadd(stream, {"id": 1, "name": "b", "_version": 6})
    t.settle(streams=[stream])
    server.kill()
    server.up()
    cache = server.client()
    wait_for("it is through", lambda: process.events("cache_invalidated_again"))
    equal(cache.fcall("sluice_get", 1, "item:1")[0], b"LOAD")
    equal(cache.fcall("sluice_get", 1, "item:2")[:2], [b"HIT", b"v5"], "a value that is as new stays")


def fill(cache, key, version):
    answer = cache.fcall("sluice_get", 1, key)
    equal(answer[0], b"LOAD")
    equal(cache.fcall("sluice_fill", 1, key, answer[1], version, f"v{version}", 600000), b"OK")


def test_keys_that_only_rows_tell_are_an_alarm(t):
    process, server = start(t, template="named:{name}", keep="1h")
    server.client().save()
    t.user(1, name="other")
    t.settle()
    server.kill()
    server.up()
    nudge(t)
    wait_for("the alarm", lambda: t.lane_status(t.stream(1))["alarm"] == "cache_lost")


def test_without_the_right_it_goes_on_and_says_so(t):
    t.users()
    server = Redis(t.dir).up()
    t.own.append(server)
    server.client().execute_command("ACL", "SETUSER", "sluice", "-hmget")
    process = t.sluice(cache={"url": server.url}, tables={"users": {"invalidate": ["user:{id}"]}})
    t.user(1, name="a")
    t.settle()
    process.logged("cache_notes_denied")
    equal(server.client().exists(KEY), 0)


def test_a_full_cache_holds_nothing_up(t):
    process, server = start(t)
    cache = server.client()
    stale(server)
    cache.config_set("maxmemory-policy", "noeviction")
    cache.config_set("maxmemory", "1")
    change_all(t, "new")
    equal(app_keys(cache), ["user:never"])
    equal(cache.exists(KEY), 0)
    cache.config_set("maxmemory", "0")
    t.user(1, name="again")
    wait_for("noted again", lambda: cache.exists(KEY))
    equal(process.events("cache_went_back"), [])


def test_a_worker_that_always_has_something_to_write_invalidates_again(t):
    t.users()
    server = Redis(t.dir).up()
    t.own.append(server)
    proxy = FaultProxy(server.port).start()
    process = t.sluice(cache={"url": server.url_at(proxy.port)}, tables={"users": {"invalidate": ["user:{id}"]}}, keep="1h",
                       batch={"max_rows": 50, "max_bytes": "4KiB"})
    keys = [n for n in range(6400) if t.stream(n) == t.streams()[0]]
    cache = server.client()
    t.user(keys[0], name="first")
    t.settle()
    old = cache.dump(KEY)
    t.add_many((t.stream(n), {"id": n, "name": "new"}) for n in keys)
    t.settle()
    cache.mset({f"user:{n}": "old" for n in keys})
    proxy.delay(0.003)  # a batch is written before the keys of the one before it are answered
    cache.restore(KEY, 0, old, replace=True)

    def is_through():
        if t.lane_status(t.streams()[1])["lag"] < 10000:
            t.add_many((t.streams()[1], {"id": n, "name": "load"}) for n in range(20000, 23000))
        return process.events("cache_invalidated_again")
    wait_for("it is through, a page a step", is_through)
    equal(app_keys(cache), [])
    proxy.stop()


def test_a_table_that_stays_gone_is_passed_and_said(t):
    t.users()
    t.sql("CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(20))")
    server = Redis(t.dir).up()
    t.own.append(server)
    cache, stream = server.client(), t.prefix + ":both"
    process = t.sluice(cache={"url": server.url}, keep="1h", foreign_key_wait="1s", sources=[{"streams": stream, "tables": ["users", "items"]}],
                       tables={"users": {"invalidate": ["user:{id}"]}, "items": {"invalidate": ["item:{id}"]}})
    write = lambda table, n: t.redis.xadd(stream, {"_table": table, "id": n, "name": "a"})
    write("users", 0)
    t.settle(streams=[stream])
    old = cache.dump(KEY)
    for n in range(100):  # more than a page of them
        write("items", n), write("users", n)
    t.settle(streams=[stream])
    process.kill()
    t.sql("RENAME TABLE items TO items_gone")
    cache.mset({f"user:{n}": "old" for n in range(100)} | {"item:1": "old"})
    cache.restore(KEY, 0, old, replace=True)
    process.start()
    wait_for("it is through", lambda: process.events("cache_invalidated_again"))
    equal(app_keys(cache), ["item:1"])
    equal(len(process.events("cache_not_invalidated_again")), 1)
    assert "all=no" in process.events("cache_invalidated_again")[0]
    wait_for("the alarm", lambda: t.lane_status(stream)["alarm"] == "cache_lost")


def test_a_table_that_comes_back_is_waited_for(t):
    process, server = start(t, keep="1h")
    cache = server.client()
    old = cache.dump(KEY)
    change_all(t, "new")
    process.kill()
    stale(server)
    cache.restore(KEY, 0, old, replace=True)
    t.sql("RENAME TABLE users TO users_gone")
    process.start()
    process.logged("cache_not_invalidated_again")
    t.sql("RENAME TABLE users_gone TO users")
    wait_for("no stale key", lambda: app_keys(cache) == ["user:never"])
    wait_for("both lanes are through", lambda: len(process.events("cache_invalidated_again")) == 2)
    assert all("all=yes" in line for line in process.events("cache_invalidated_again"))


def test_what_the_cache_lost_is_shown_behind_another_alarm(t):
    process, server = start(t)
    cache = server.client()
    old = cache.hgetall(KEY)
    cache = back_to_snapshot(t, server)
    for stream in t.streams():
        wait_for("the alarm", lambda s=stream: t.lane_status(s)["alarm"] == "cache_lost")
    wait_for("noted anew", lambda: noted(t, cache) == done(t))
    equal(t.lane("ack", t.streams()[1])[0], 0)
    wait_for("it is acknowledged", lambda: t.lane_status(t.streams()[1])["alarm"] is None)
    process.kill()
    lane = f"default/redis/{t.streams()[1]}"
    cache.hset(KEY, lane, old[lane.encode()])  # there it is lost once more, while the other alarm stands
    for n, stream in enumerate(t.streams()):
        lost = t.redis.xadd(stream, {"id": lanes_key(t, n), "name": "lost"})
        t.redis.xadd(stream, {"id": lanes_key(t, n), "name": "kept"})
        t.redis.xdel(stream, lost)
    process.start()
    wait_for("it is through", lambda: any(lane in line for line in process.events("cache_invalidated_again")))
    for stream in t.streams():
        wait_for("another alarm", lambda s=stream: t.lane_status(s)["alarm"] == "gap")
    process.kill()  # the ledger knows of both
    equal(t.row("SELECT alarm FROM sluice_ledger WHERE lane = %s", lane), ("gap,cache_lost",))
    process.start()
    for stream in t.streams():
        wait_for("another alarm", lambda s=stream: t.lane_status(s)["alarm"] == "gap")
        equal(t.lane("ack", stream)[0], 0)
        wait_for("the one before", lambda s=stream: t.lane_status(s)["alarm"] == "cache_lost")


def test_a_note_that_stands_is_not_written_again(t):
    process, server = start(t)
    cache = server.client()
    wait_for("noted", lambda: noted(t, cache) == done(t))
    calls = lambda name: cache.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"]
    wait_for("at rest", lambda: process.get("/status") and noted(t, cache) == done(t))
    looks, writes = calls("hmget"), calls("hset")
    wait_for("it looks", lambda: calls("hmget") >= looks + 2)
    equal(calls("hset"), writes)


def test_a_note_that_may_not_be_read_is_no_rollback_later(t):
    process, server = start(t, keep="1h")
    cache = server.client()
    wait_for("noted", lambda: noted(t, cache) == done(t))
    cache.execute_command("ACL", "SETUSER", "sluice", "-hmget")
    process.logged("cache_notes_denied")
    wait_for("it goes", lambda: not cache.exists(KEY))
    change_all(t, "new")
    process.kill()
    cache.execute_command("ACL", "SETUSER", "sluice", "+hmget")
    process.start()
    change_all(t, "newer")
    wait_for("noted anew", lambda: noted(t, cache) == done(t))
    equal(process.events("cache_went_back"), [])


def test_an_emptied_cache_asks_for_nothing_of_two_workers(t):
    process, server = start(t, workers=2)
    cache = server.client()
    wait_for("noted", lambda: noted(t, cache) == done(t))
    cache.flushall()
    t.user(lanes_key(t, 0), name="one of them is noted first")
    wait_for("noted anew", lambda: noted(t, cache) == done(t) and len(done(t)) == 2)
    equal(process.events("cache_went_back"), [])
    equal([t.lane_status(s)["alarm"] for s in t.streams()], [None, None])


def flushing(t, **more):
    return start(t, on_cache_lost="flush", **more)


def test_what_cannot_be_invalidated_again_empties_the_cache(t):
    process, server = flushing(t, workers=2)
    cache = back_to_snapshot(t, server)
    wait_for("it is empty", lambda: app_keys(cache) == [])
    wait_for("noted anew", lambda: noted(t, cache) == done(t) and len(done(t)) == 2)
    process.logged("event=cache_flushed", "lag=no")
    for stream in t.streams():
        wait_for("no alarm is left", lambda s=stream: t.lane_status(s)["alarm"] is None)
    equal(t.sql("SELECT DISTINCT alarm FROM sluice_ledger"), (("",),))
    assert process.metric("sluice_cache_flushes_total") >= 1
    cache.set("user:never", "kept")
    change_all(t, "newer")
    wait_for("noted", lambda: noted(t, cache) == done(t))
    equal(app_keys(cache), ["user:never"])


def test_beyond_invalidate_lag_max_rows_go_on_and_the_cache_is_emptied(t):
    t.users()
    server = Redis(t.dir).up()
    t.own.append(server)
    proxy = FaultProxy(server.port).start()
    process = t.sluice(cache={"url": server.url_at(proxy.port)}, tables={"users": {"invalidate": ["user:{id}"]}}, on_cache_lost="flush",
                       invalidate_lag_max="1MiB", announce={"channel": "invalidated"})
    t.user(1, name="a")
    t.settle()
    cache = server.client()
    told = cache.pubsub(ignore_subscribe_messages=True)
    told.subscribe("invalidated")
    proxy.refuse(), proxy.cut()
    stale(server)
    t.add_many((t.stream(key), {"id": key, "name": "x" * 60, "email": "y" * 120}) for key in range(20_000))
    wait_for("rows go on", lambda: t.row("SELECT COUNT(*) FROM users") == (20_000,))
    wait_for("a flush is owed", lambda: process.metric("sluice_workers_owing_flush") == 1)
    assert "emptied when it is back" in process.get("/healthz")[1]
    equal(process.metric("sluice_workers_paused_for_cache"), 0)
    assert any(row["done"] != row["position"] for row in t.ledger().values()), "`done` waits"
    proxy.heal()
    t.settle()
    equal(app_keys(cache), [])
    equal(process.metric("sluice_workers_owing_flush"), 0)
    assert process.metric("sluice_invalidated_total") < 20_000, "they were not sent one by one"
    message = wait_for("it is announced", lambda: next((m for m in iter(lambda: told.get_message(timeout=0.1), None) if b"flushed" in m["data"]), None))
    equal({k: v for k, v in json.loads(message["data"]).items() if k != "at"},
          {"table": None, "key": None, "version": None, "reason": "flushed", "pool": "default"})
    proxy.stop()


def test_without_the_right_to_empty_it_the_alarm_stays(t):
    process, server = flushing(t)
    server.client().execute_command("ACL", "SETUSER", "sluice", "-flushdb")
    server.argv.append("-flushdb")
    cache = back_to_snapshot(t, server)
    process.logged("cache_flush_denied")
    for stream in t.streams():
        wait_for("the alarm", lambda s=stream: t.lane_status(s)["alarm"] == "cache_lost")
    assert app_keys(cache)
    equal(t.lane("ack", t.streams()[0])[0], 0)
    wait_for("it is acknowledged", lambda: t.lane_status(t.streams()[0])["alarm"] is None)
    code, _, err = t.command("check", process.argv[-1], "--connect")
    equal(code, 78, err)
    assert "+flushdb" in err, err


def test_a_database_that_holds_lanes_is_never_emptied(t):
    """By another name it is the same server."""
    t.users()
    url = t.redis_server.url.replace("127.0.0.1", "localhost")
    pool = t.prefix.replace(":", "-")
    process = t.sluice(cache={"url": url}, tables={"users": {"invalidate": ["user:{id}"]}}, on_cache_lost="flush", pool=pool)
    key = f"sluice:{pool}:answered"
    t.user(1, name="a")
    wait_for("noted", lambda: t.redis.exists(key))
    old = t.redis.dump(key)
    t.user(1, name="b")
    wait_for("noted", lambda: t.redis.dump(key) != old)
    wait_for("trimmed", lambda: t.redis.xlen(t.stream(1)) == 1)
    t.redis.restore(key, 0, old, replace=True)
    process.logged("cache_flush_denied", "holds lanes")
    assert t.redis.exists(t.stream(1))
    code, _, err = t.command("check", process.argv[-1], "--connect")
    equal(code, 78, err)
    assert "the same server and database" in err, err


def by_group(t, **more):
    """A stream that a group reads, and some of its entries answered and noted; answers (processes, server, stream)."""
    server, stream = Redis(t.dir).up(), t.prefix + ":cdc"
    t.own.append(server)
    source = {"streams": stream, "format": "fields", "write": False, "table": "users", **more}
    processes = [t.sluice(mysql=None, cache={"url": server.url}, sources=[source],
                          tables={"users": {"invalidate": ["user:{id}"], "types": {"id": "bigint"}}}) for _ in range(2)]
    tell(t, stream)
    wait_for("both noted", lambda: group_notes(server, stream) == [t.redis.xinfo_stream(stream)["last-generated-id"]] * 2)
    return processes, server, stream


def tell(t, stream):
    for n in range(50):
        t.redis.xadd(stream, {"_op": "invalidate", "id": n})

    def settled():
        group, = t.redis.xinfo_groups(stream)
        return group["pending"] == 0 and group["last-delivered-id"] == t.redis.xinfo_stream(stream)["last-generated-id"]
    wait_for("all is acknowledged", settled)


def group_notes(server, stream):
    cache = server.client()
    return [cache.hget(key, f"default/redis/{stream}") for key in cache.keys(KEY + ":*")]


def test_a_stream_that_a_group_reads_is_invalidated_again(t):
    processes, server, stream = by_group(t)
    cache = server.client()
    equal([0 < cache.pttl(key) <= 3600000 for key in cache.keys(KEY + ":*")], [True, True])
    stale(server)
    cache.save()
    tell(t, stream)
    equal(app_keys(cache), ["user:never"])
    wait_for("both noted", lambda: group_notes(server, stream) == [t.redis.xinfo_stream(stream)["last-generated-id"]] * 2)
    server.kill()
    server.up()
    wait_for("no stale key", lambda: app_keys(server.client()) == ["user:never"])
    assert any(process.events("cache_went_back") for process in processes)
    wait_for("noted anew", lambda: group_notes(server, stream) == [t.redis.xinfo_stream(stream)["last-generated-id"]] * 2)
    equal(t.redis.xinfo_groups(stream)[0]["pending"], 0)
    equal([process.status()["lanes"][0]["alarm"] for process in processes], [None, None])


def test_what_such_a_stream_no_longer_holds_is_an_alarm(t):
    processes, server, stream = by_group(t, trim="acked")
    cache = server.client()
    old = {key: cache.dump(key) for key in cache.keys(KEY + ":*")}
    tell(t, stream)
    wait_for("both noted", lambda: group_notes(server, stream) == [t.redis.xinfo_stream(stream)["last-generated-id"]] * 2)
    wait_for("trimmed", lambda: t.redis.xlen(stream) == 1)
    for key, dump in old.items():
        cache.restore(key, 0, dump, replace=True)
    for process in processes:
        wait_for("the alarm", lambda p=process: p.status()["lanes"][0]["alarm"] == "cache_lost")
