"""
What people see of the cache: its hit rate, memory and keys as warnings that never make a sluice unhealthy, advice for
its settings, and `sluice top`.
"""
import os, pty, select, time
from cache_functions import SOURCE
from support import SLUICE, Redis, equal, wait_for
import subprocess



def test_keys_without_a_ttl_and_large_ones_are_found_and_only_warned_of(t):
    t.users()
    t.own_redis()
    t.redis.set(t.prefix + ":u:1", "x")
    t.redis.set(t.prefix + ":u:2", "x" * 1_500_000, ex=1000)
    t.redis.set("other", "x")
    t.redis.set(t.prefix + ":u:3", "x", ex=1000)
    sluice = t.sluice(tables={"users": {"invalidate": [t.prefix + ":u:{id}"]}})
    cache = wait_for("a walk", lambda: sluice.status()["cache"]["walks"] and sluice.status()["cache"])
    equal([cache["without_ttl"], cache["large_keys"]], [1, 1])
    assert cache["largest_bytes"] > 1_500_000
    code, health = sluice.get("/healthz")
    equal(code, 200, health)
    warnings = sluice.status()["warnings"]
    assert any("never expire" in w for w in warnings) and any("1 MiB" in w for w in warnings), warnings
    equal(sluice.metric("sluice_cache_warning", warning="without_ttl"), 1)
    equal(sluice.metric("sluice_cache_warning", warning="memory"), 0)


def test_a_cache_that_restarted_is_said_with_its_window(t):
    t.users()
    server = t.own_redis()
    sluice = t.sluice(tables={"users": {"invalidate": [t.prefix + ":u:{id}"]}})
    wait_for("INFO", lambda: sluice.status()["cache"]["known"])
    equal((sluice.metric("sluice_cache_restarts_total"), sluice.events("cache_restarted")), (0, []))
    server.kill()
    server.up()
    (line,) = wait_for("the restart", lambda: sluice.events("cache_restarted"))
    assert "changed=run_id" in line and "window_seconds=" in line, line
    assert any("restarted or failed over" in w for w in sluice.status()["warnings"]), sluice.status()["warnings"]
    equal([sluice.metric("sluice_cache_restarts_total"), sluice.metric("sluice_cache_warning", warning="restarted")], [1, 1])
    assert wait_for("healthy again", lambda: sluice.get("/healthz")[0] == 200)


def test_what_is_denied_is_done_without(t):
    t.users()
    t.own_redis()
    t.redis.execute_command("ACL", "SETUSER", "sluice", "-scan")
    t.redis.set(t.prefix + ":u:1", "x")
    sluice = t.sluice(tables={"users": {"invalidate": [t.prefix + ":u:{id}"]}})
    sluice.logged("cache_walk_denied")
    cache = wait_for("INFO", lambda: sluice.status()["cache"]["known"] and sluice.status()["cache"])
    equal(cache["walks"], 0)
    equal(sluice.get("/healthz")[0], 200)


def test_check_names_the_settings_to_add(t):
    t.users()
    t.own_redis()
    path = t.write_config(cache={"url": t.redis_server.url_at(t.redis_server.port) + "/1"})
    t.redis.config_set("maxmemory-policy", "noeviction")
    code, _, err = t.command("check", path, "--connect")
    equal(code, 0, err)
    assert "cache has no maxmemory" in err and "`maxmemory-policy allkeys-lfu`" in err, err
    t.redis.config_set("maxmemory", "100mb")
    err = t.command("check", path, "--connect")[2]
    assert "refuses fills once it is full" in err, err
    t.redis.config_set("maxmemory-policy", "volatile-lfu")
    assert "maxmemory" not in t.command("check", path, "--connect")[2]


def test_top_shows_lanes_and_popular_keys_by_their_hash(t):
    t.sql("CREATE TABLE articles (id BIGINT PRIMARY KEY, ver BIGINT)")
    t.sql("INSERT INTO articles VALUES (7, 1)")
    t.redis.function_load(SOURCE, replace=True)
    config = dict(sources=[{"streams": t.prefix + ":a", "table": "articles"}],
                  tables={"users": None, "articles": {"version": "ver", "invalidate": [{"key": t.prefix + ":a:{id}", "mode": "versioned"}],
                                                      "refresh": {"warm": "SELECT id FROM articles"}}})
    sluice = t.sluice(**config)
    url = f"http://127.0.0.1:{sluice.port()}"
    wait_for("it is warm", lambda: sluice.status()["refresh"]["loaded"] and sluice.status()["refresh"]["keys"][0]["loaded"])
    code, out, err = t.command("top", url, "--once")
    equal(code, 0, err)
    for word in ("hot key", "articles", f"default/redis/{t.prefix}:a", "1 hot keys"):
        assert word in out, out
    assert t.prefix + ":a:7" not in out and "\x1b" not in out, out
    equal(t.command("top", "http://127.0.0.1:1", "--once")[0], 69)
    equal(t.command("top", url, "--every", "0")[0], 2)
    sluice.stop()
    sluice = t.sluice(show_keys=True, **config)
    wait_for("the key by name", lambda: t.prefix + ":a:7" in t.command("top", f"http://127.0.0.1:{sluice.port()}", "--once")[1])


def test_top_is_live_in_a_terminal(t):
    t.users()
    sluice = t.sluice()
    main, other = pty.openpty()
    top = subprocess.Popen([SLUICE, "top", f"http://127.0.0.1:{sluice.port()}", "--every", "1"], stdout=other, stderr=other, stdin=other)
    os.close(other)
    seen = b""
    end = time.monotonic() + 40
    while seen.count(b"\x1b[H") < 2 and time.monotonic() < end:
        if select.select([main], [], [], 0.5)[0]:
            seen += os.read(main, 65536)
    top.kill(), top.wait(), os.close(main)
    assert seen.count(b"\x1b[H") >= 2 and b"default/redis/" in seen, seen[-500:]
