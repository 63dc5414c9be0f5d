"""Cache keys that the entries alone don't tell, after a crash: from the outbox."""
import random, signal
from cache_functions import Cache, row
from row_keys import commit_without_cache, fill, left, outbox, position, start
from support import equal, limit, wait_for


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
    for number in range(5):
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
    assert dropped > 30, dropped
    wait_for("an outbox without rows", lambda: not outbox(t))


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


def test_what_waits_in_the_outbox_is_shown(t):
    process, server = start(t)
    t.user(1, team="red"), t.settle()
    equal(process.metric("sluice_outbox_rows"), 0)
    commit_without_cache(t, process, server, lambda: t.user(1, team="blue"))
    wait_for("the gauge", lambda: process.metric("sluice_outbox_rows") == 1)
    equal(process.status()["totals"]["outbox_rows"], 1)
    server.up()
    wait_for("the gauge", lambda: process.metric("sluice_outbox_rows") == 0)
