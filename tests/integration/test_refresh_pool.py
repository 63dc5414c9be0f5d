"""
Refresh ahead in a pool of processes that write nothing: they know of each other by the cache, load each popular key once, and
take over from one that is gone.
"""
import json, random
from refreshing import articles, counters, key
from support import equal, limit, wait_for

KEYS = 40


def cache_only(t, **refresh):
    """No source writes: nobody is in sluice_worker, and MySQL is only read."""
    settings = articles(t, KEYS, **refresh)
    settings["sources"][0]["write"] = False
    settings["refresh"]["half_life"] = "10s"
    settings["pool"] = pool(t)
    return settings


def pool(t):
    return t.prefix.replace(":", "-")


def members(t):
    return f"sluice:{pool(t)}:members"


@limit(90)
def test_processes_that_write_nothing_share_the_keys_and_a_killed_one_s_are_taken_over(t):
    first = t.sluice(**cache_only(t, ttl="3s", warm=f"SELECT id FROM articles WHERE id <= {KEYS}"))
    wait_for("warm", lambda: t.redis.exists(*[key(t, n) for n in range(1, KEYS + 1)]) == KEYS)
    second = t.sluice(first.argv[-1])
    wait_for("both know of each other", lambda: counters(first)["members"] == 2 and counters(second)["members"] == 2)
    equal(t.redis.zcard(members(t)), 2)
    assert 0 < t.redis.pttl(members(t)) <= 5000

    def ours(process):
        return {shown["key"] for shown in counters(process)["keys"] if shown["ours"]}
    wait_for("all keys are somebody's", lambda: len(ours(first) | ours(second)) == KEYS and not ours(first) & ours(second))
    before = [counters(p)["loaded"] for p in (first, second)]
    wait_for("a round of loads", lambda: sum(counters(p)["loaded"] for p in (first, second)) - sum(before) >= KEYS - 4, 25, 0.05)
    parts = [counters(p)["loaded"] - b for p, b in zip((first, second), before)]
    assert sum(parts) < 2 * KEYS - 8 and min(parts) >= KEYS // 5, parts
    loaded = counters(second)["loaded"]
    first.kill()
    wait_for("it is missed", lambda: counters(second)["members"] == 1)
    wait_for("all keys are its own", lambda: len(ours(second)) == KEYS)
    wait_for("its keys are loaded by the other", lambda: counters(second)["loaded"] - loaded >= KEYS, 25)
    wait_for("all are there", lambda: t.redis.exists(*[key(t, n) for n in range(1, KEYS + 1)]) == KEYS)


def test_one_that_ends_leaves_at_once_and_one_without_the_right_goes_on(t):
    first = t.sluice(**cache_only(t, warm="SELECT id FROM articles WHERE id <= 3"))
    second = t.sluice(first.argv[-1])
    wait_for("both", lambda: counters(second)["members"] == 2)
    equal(first.stop(), 0)
    equal(t.redis.zcard(members(t)), 1)
    wait_for("one", lambda: counters(second)["members"] == 1)
    equal(second.stop(), 0)
    equal(t.redis.zcard(members(t)), 0)
    t.redis.execute_command("ACL", "SETUSER", "sluice", "-zadd")
    try:
        for n in (1, 2, 3):
            t.redis.unlink(key(t, n))
        third = t.sluice(first.argv[-1])
        third.logged("refresh_members_unknown")
        wait_for("it loads all the same", lambda: t.redis.exists(*[key(t, n) for n in (1, 2, 3)]) == 3)
        equal(len(third.events("refresh_members_unknown")), 1)
    finally:
        t.redis.execute_command("ACL", "SETUSER", "sluice", "+zadd")


def test_what_two_processes_load_while_members_change_is_written_once_and_counted(t):
    settings = cache_only(t, load="SELECT id, title, s FROM articles, (SELECT SLEEP(0.2) AS s) AS slow WHERE id IN (:keys)", value=["id", "title"])
    del settings["tables"]["articles"]["version"]
    settings["tables"]["articles"]["invalidate"] = [t.prefix + ":a:{id}"]
    settings["refresh"]["reads"] = t.prefix + ":reads"
    t.redis_server.allow(t.prefix + "*")
    first = t.sluice(**settings)
    wait_for("the first", lambda: counters(first)["members"] == 1)
    alone = t.redis.zrange(members(t), 0, -1)
    second = t.sluice(first.argv[-1])
    wait_for("both", lambda: counters(first)["members"] == 2 and counters(second)["members"] == 2)
    name = next(member for member in t.redis.zrange(members(t), 0, -1) if member not in alone)
    client = t.redis

    def duplicate():
        # the first never hears of the second, who knows both
        client.zrem(members(t), name)
        if random.random() < 0.1:
            for n in range(1, KEYS + 1):
                client.xadd(t.prefix + ":reads", {"k": key(t, n), "n": 20}, maxlen=1000)
                client.set(key(t, n), json.dumps({"id": n}), px=2500, nx=True)  # as its readers do
        return counters(second)["duplicates"] > 0
    wait_for("a duplicate", duplicate, 30, 0.005)
    shown = [counters(p) for p in (first, second)]
    assert all(c["loaded"] + c["lost"] + c["duplicates"] <= c["asked"] for c in shown), shown
