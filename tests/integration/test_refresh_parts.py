"""
Refresh ahead, part by part: what is wrong with one table stops only that table, entries of mode populate are kept too, and an
outage of a server is seen by the monitor where no worker has anything to do.
"""
import json
from cache_functions import Cache, row
from refreshing import articles, counters, key
from support import Redis, equal, limit, stays, wait_for


def test_a_wrong_query_stops_the_loads_of_its_table_alone_and_visibly(t):
    settings = articles(t, warm="SELECT id FROM articles WHERE id <= 3")
    t.sql("CREATE TABLE pages (id BIGINT UNSIGNED PRIMARY KEY, ver BIGINT)")
    t.sql("INSERT INTO pages SELECT seq, 1 FROM seq_1_to_20")
    settings["sources"].append({"streams": t.prefix + ":p", "table": "pages"})
    settings["tables"]["pages"] = {"version": "ver", "invalidate": [{"key": t.prefix + ":p:{id}", "mode": "versioned"}],
                                   "refresh": {"ttl": "2s", "warm": "SELECT id FROM pages WHERE id <= 3",
                                               "load": "SELECT id, nothing_of_the_kind, ver FROM pages WHERE id IN (:keys)"}}
    sluice = t.sluice(**settings)
    wait_for("the other table is loaded", lambda: t.redis.exists(*[key(t, n) for n in (1, 2, 3)]) == 3)
    wait_for("it is refused", lambda: sluice.status()["tables"]["pages"]["load"]["state"] == "open")
    selects = counters(sluice)["selects"]
    wait_for("the other table goes on", lambda: sluice.status()["tables"]["articles"]["loaded"] >= 9)
    # warm is asked once and each SELECT after that was the other table's
    shown = sluice.status()
    assert shown["refresh"]["selects"] > selects and shown["tables"]["pages"]["load"]["failures_total"] == 1, shown["tables"]
    equal(shown["breakers"]["mysql_read"]["state"], "closed")
    equal(shown["breakers"]["mysql_read"]["failures_total"], 0)
    assert shown["healthy"] and any("pages" in text and "nothing_of_the_kind" in text for text in shown["warnings"]), shown["warnings"]
    equal(shown["tables"]["articles"]["load"]["state"], "closed")
    equal(sluice.metric("sluice_table_loads_refused", table="pages"), 1)
    equal(sluice.metric("sluice_table_loads_refused", table="articles"), 0)
    equal(len(sluice.events("refresh_impossible")), 1)
    equal(t.redis.exists(t.prefix + ":p:1"), 0)


@limit(60)
def test_a_query_that_never_answers_in_time_stops_the_loads_of_its_table_alone(t):
    settings = articles(t, warm="SELECT id FROM articles WHERE id <= 3")
    t.sql("CREATE TABLE pages (id BIGINT UNSIGNED PRIMARY KEY, ver BIGINT)")
    t.sql("INSERT INTO pages SELECT seq, 1 FROM seq_1_to_20")
    t.sql("CREATE TABLE knob (slow INT)")
    t.sql("INSERT INTO knob VALUES (3)")  # seconds a row; such a SELECT goes on behind a connection that is closed
    settings["sources"].append({"streams": t.prefix + ":p", "table": "pages"})
    settings["tables"]["pages"] = {"version": "ver", "invalidate": [{"key": t.prefix + ":p:{id}", "mode": "versioned"}],
                                   "refresh": {"ttl": "2s", "warm": "SELECT id FROM pages WHERE id <= 3",
                                               "load": "SELECT id, ver FROM pages WHERE id IN (:keys) AND SLEEP((SELECT slow FROM knob)) = 0"}}
    settings["mysql"] = {"url": t.mysql.url(t.db), "timeout": "1s"}
    settings["refresh"] |= {"failures": 2, "open_for": "1s"}
    sluice = t.sluice(**settings)
    state = lambda: sluice.status()["tables"]["pages"]["load"]["state"]
    wait_for("its own breaker", lambda: state() == "open")
    loaded = counters(sluice)["loaded"]
    wait_for("the other table goes on", lambda: counters(sluice)["loaded"] >= loaded + 6)
    shown = sluice.status()
    equal((shown["breakers"]["mysql_read"]["state"], shown["breakers"]["mysql_read"]["failures_total"]), ("closed", 0))
    assert len(sluice.events("refresh_load_failed")) == 1 and sluice.events("refresh_impossible"), sluice.text()
    t.sql("UPDATE knob SET slow = 0")
    wait_for("it is taken up again", lambda: t.redis.exists(t.prefix + ":p:1") and state() == "closed")


def test_a_query_that_was_mended_in_the_database_is_taken_up_again(t):
    settings = articles(t, warm="SELECT id FROM articles WHERE id <= 3", load="SELECT id, title, ver FROM later WHERE id IN (:keys)")
    settings["refresh"]["open_for"] = "1s"
    sluice = t.sluice(**settings)
    wait_for("it is refused", lambda: sluice.status()["tables"]["articles"]["load"]["state"] == "open")
    t.sql("CREATE TABLE later AS SELECT * FROM articles")
    wait_for("it is loaded", lambda: t.redis.exists(key(t, 1)))
    wait_for("it says so", lambda: sluice.status()["tables"]["articles"]["load"]["state"] == "closed")
    equal(sluice.status()["warnings"], [])


def test_entries_of_mode_populate_are_loaded_ahead_in_the_form_that_populate_writes(t):
    settings = articles(t)
    t.sql("ALTER TABLE articles DROP COLUMN price, DROP COLUMN raw")
    settings["tables"]["articles"]["invalidate"] = [{"key": t.prefix + ":a:{id}", "mode": "populate", "populate": "always", "marker_absent": "1m", "quarantine": "1m", "ttl": "2s"}]
    settings["tables"]["articles"]["refresh"]["warm"] = "SELECT id FROM articles WHERE id <= 3"
    sluice = t.sluice(**settings)
    wait_for("warm", lambda: t.redis.exists(*[key(t, n) for n in (1, 2, 3)]) == 3)
    t.redis.xadd(t.prefix + ":a", {"id": 1, "title": "new", "views": 7, "_version": 2})
    wait_for("populate", lambda: t.redis.hget(key(t, 1), "r") == row(2).encode())
    equal(sluice.status()["totals"]["populated"], 1)
    written = t.redis.hgetall(key(t, 1))
    equal(json.loads(written[b"p"]), {"id": 1, "title": "new", "views": 7, "ver": 2})
    wait_for("it is loaded ahead", lambda: t.redis.hget(key(t, 1), "w") != written[b"w"])
    equal(t.redis.hget(key(t, 1), "p"), written[b"p"])
    cache, loaded = Cache(t.redis, load=False), counters(sluice)["loaded"]
    # a reader fills nothing here: a refresh that came too late would be the last one
    wait_for("it is loaded ahead again", lambda: cache.get(key(t, 1))[0] == "HIT" and counters(sluice)["loaded"] > loaded + 3)
    assert counters(sluice)["loaded"] > loaded and counters(sluice)["older"] == 0, counters(sluice)


def test_where_the_budget_is_too_small_for_all_none_starves(t):
    settings = articles(t, ttl="1s", stale_max="1h", warm="SELECT id FROM articles WHERE id <= 3", warm_every="1h")
    settings["refresh"]["max_loads_per_second"] = 1
    sluice, seen = t.sluice(**settings), {n: set() for n in (1, 2, 3)}

    def each_three_times():
        for n in seen:
            seen[n].add(t.redis.hget(key(t, n), "w"))
        return all(len(stamps - {None}) >= 3 for stamps in seen.values())
    wait_for("each was loaded three times", each_three_times)
    assert counters(sluice)["over_budget"] > 0 and counters(sluice)["stretches"] > 0, counters(sluice)


def test_the_monitor_sees_an_outage_where_no_worker_has_anything_to_do(t):
    server = Redis(t.dir).up()
    t.own.append(server)
    t.users()
    path = t.write_config(cache={"url": server.url}, tables={"users": {"invalidate": ["user:{id}"]}})
    server.kill()
    sluice = t.sluice(path)
    away = wait_for("it is seen", lambda: [b for b in [sluice.status()["breakers"]["cache"]] if b["state"] == "open"])[0]
    assert away["why"] and away["since"], away
    code, health = sluice.get("/healthz")
    assert code == 503 and "cache is away" in health, health
    sluice.logged("probe_failed", "cache")
    # the stream is written meanwhile
    t.user(1, name="a")
    wait_for("the row", lambda: t.row("SELECT name FROM users WHERE id = 1") == ("a",))
    server.up()
    wait_for("it is back", lambda: sluice.status()["breakers"]["cache"]["state"] == "closed")
    sluice.logged("probe_goes_on", "cache")


def two_loads(t, load, **more):
    """Articles, and beside them the good table pages: (settings, its part of the status of a sluice)."""
    settings = articles(t, load=load, **more)
    t.sql("CREATE TABLE pages (id BIGINT UNSIGNED PRIMARY KEY, ver BIGINT)")
    t.sql("INSERT INTO pages SELECT seq, 1 FROM seq_1_to_20")
    settings["sources"].append({"streams": t.prefix + ":p", "table": "pages"})
    settings["tables"]["pages"] = {"version": "ver", "invalidate": [{"key": t.prefix + ":p:{id}", "mode": "versioned"}],
                                   "refresh": {"ttl": "2s", "warm": "SELECT id FROM pages WHERE id <= 3"}}
    return settings


def test_a_query_that_returns_no_end_of_rows_holds_no_memory_and_is_named(t):
    """Some 170 MB a key: that is more than sluice may hold, but has an end."""
    settings = two_loads(t, "SELECT a.id, REPEAT('x', 100000) AS title, a.ver FROM articles a, articles b, articles c"
                            " WHERE a.id IN (:keys) AND b.id <= 12", warm="SELECT id FROM articles WHERE id = 1")
    sluice = t.sluice(**settings)
    assert "a quarter of memory" in sluice.logged("event=refresh_impossible", "table=articles")
    wait_for("the other table goes on", lambda: sluice.status()["tables"]["pages"]["loaded"] >= 6)
    equal(t.redis.exists(key(t, 1)), 0)
    equal(sluice.stop(), 0)


def test_large_rows_are_loaded_fewer_at_once(t):
    """Twenty of 1 MB are more than a quarter of memory."""
    sluice = t.sluice(**articles(t, ttl="1h", load="SELECT id, REPEAT('x', 1000000) AS title, ver FROM articles WHERE id IN (:keys)",
                                 warm="SELECT id FROM articles", warm_every="1s"))
    names = [key(t, n) for n in range(1, 21)]
    wait_for("all of them", lambda: all(t.redis.hexists(name, "p") for name in names))
    equal(sluice.events("refresh_impossible"), [])
    t.redis.delete(*names)


def test_a_long_warm_list_is_cut_where_it_is_read(t):
    """Of 2.5 million rows."""
    sluice = t.sluice(**articles(t, 40, top=10, warm="SELECT a.id FROM articles a, articles b, articles c, articles d, articles e WHERE a.id = 7"))
    line = sluice.logged("event=refresh_warm_cut", 'why="more than top"')
    assert int(line.split("rows=")[1].split()[0]) < 1_000_000, line
    wait_for("what was read of it is warm", lambda: t.redis.hexists(key(t, 7), "p"))
    wait_for("nobody sends the rest", lambda: t.row("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'Writing to net'") == (0,))


def test_a_version_that_is_none_stops_the_loads_of_its_table_alone(t):
    settings = two_loads(t, "SELECT id, title, title AS ver FROM articles WHERE id IN (:keys)", warm="SELECT id FROM articles WHERE id <= 3")
    sluice = t.sluice(**settings)
    assert "no whole number" in sluice.logged("event=refresh_impossible", "table=articles")
    wait_for("the other table goes on", lambda: sluice.status()["tables"]["pages"]["loaded"] >= 6)
    equal(sluice.events("refresh_cache_away"), [])
    equal(sluice.status()["breakers"]["cache"]["failures_total"], 0)


def test_a_row_with_a_version_below_0_is_loaded_as_one_without(t):
    settings = articles(t, warm="SELECT id FROM articles WHERE id <= 2")
    t.sql("UPDATE articles SET ver = -5 WHERE id = 1")
    sluice = t.sluice(**settings)
    wait_for("both", lambda: all(t.redis.hexists(key(t, n), "p") for n in (1, 2)))
    equal(json.loads(t.redis.hget(key(t, 1), "p"))["ver"], -5)
    equal(sluice.events("refresh_cache_away"), [])


def test_queries_only_read(t):
    settings = two_loads(t, "DELETE FROM articles WHERE id IN (:keys)", warm="SELECT id FROM articles WHERE id = 1")
    settings["tables"]["pages"]["refresh"]["warm"] = "DELETE FROM pages"
    sluice = t.sluice(**settings)
    assert "READ ONLY" in sluice.logged("event=refresh_impossible", "table=articles", "code=1792")
    assert "READ ONLY" in sluice.logged("event=refresh_warm_failed", "table=pages")
    equal(t.row("SELECT (SELECT COUNT(*) FROM articles), (SELECT COUNT(*) FROM pages)"), (20, 20))
