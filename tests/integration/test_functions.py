"""
The cache functions by themselves, on real servers: every rule is played on Redis 7 as functions and as a script, and
on Redis 8 and Valkey 8 where they can be had.
"""
import os, random, re, socket, subprocess
import redis
from cache_functions import HOUR, NONE, SOURCE, Cache, deleted, row
from support import TOP, equal, limit, other_server, wait_for

def refused(function, *arguments):
    try:
        answer = function(*arguments)
    except redis.ResponseError as error:
        return str(error)
    raise AssertionError(f"{arguments} was not refused: {answer!r}")


# --- reading and filling

def rule_one_loader_a_miss_and_all_hit_after_it(c):
    token, floor = c.load("k")
    equal(floor, NONE)
    equal(c.get("k"), ["WAIT", 100])
    equal(c.get("k", "", 20), ["WAIT", 20])
    assert 0 < c.client.pttl("k") <= 10_000
    equal(c.fill("k", token, 57, "pay", HOUR), "OK")
    answer = c.get("k")
    equal(answer[:3], ["HIT", "pay", row(57)])
    equal(c.fill("k", token, 57, "again", HOUR), "LEASE_LOST", "a lease is used once")


def rule_a_wait_never_outlasts_the_lease(c):
    c.load("k", 400)
    word, ms = c.get("k", "", 60_000)
    assert word == "WAIT" and 1 <= ms <= 400, (word, ms)
    wait_for("the lease is over", lambda: c.get("k")[0] == "LOAD")


def rule_a_lease_that_is_over_or_not_ours_fills_nothing(c):
    equal(c.invalidate("k", 57, "", "", HOUR), "NEW")  # so that the key outlives its lease
    late, _ = c.load("k", 1)
    token, _ = c.over("k")
    assert token != late
    equal(c.fill("k", late, 57, "late", HOUR), "LEASE_LOST")
    equal(c.fill("k", "", 57, "none", HOUR), "LEASE_LOST")
    equal(c.fill("absent", token, 57, "none", HOUR), "LEASE_LOST")
    equal(c.client.exists("absent"), 0)
    equal(c.fill("k", token, 57, "right", HOUR), "OK")


def rule_a_lease_that_is_over_fills_nothing_though_nobody_took_the_next(c):
    equal(c.invalidate("k", 57, "", "", HOUR), "NEW")
    token, _ = c.load("k", 1)
    ended = int(c.hash("k")["l"])
    wait_for("the lease is over", lambda: (lambda now: now[0] * 1000 + now[1] // 1000 > ended)(c.client.time()))
    equal(c.fill("k", token, 57, "late", HOUR), "LEASE_LOST")
    equal(c.fill_none("k", token, row(57), HOUR), "LEASE_LOST")


def rule_a_key_that_vanished_meanwhile_takes_no_fill(c):
    token, _ = c.load("k")
    c.forget("k")
    equal(c.fill("k", token, 57, "x", HOUR), "LEASE_LOST")
    c.load("k")
    equal(c.fill("k", token, 57, "x", HOUR), "LEASE_LOST", "another reader's lease is not ours")


def rule_nothing_older_than_the_value_is_written_even_when_that_is_over_its_time(c):
    c.short("k", 57)
    c.client.hdel("k", "m")
    token, floor = c.over("k")
    equal(floor, row(57))
    equal(c.fill("k", token, 56, "v56", HOUR), "OLD")
    token, _ = c.load("k")  # OLD gives the lease back
    equal(c.fill("k", token, 57, "v57", HOUR), "OK")


def rule_nothing_older_than_the_marker_is_written(c):
    c.filled("k", 57)
    equal(c.invalidate("k", 58), "NEW")
    token, floor = c.load("k")
    equal(floor, row(58))
    equal(c.fill("k", token, 57, "old", HOUR), "OLD")
    token, _ = c.load("k")
    equal(c.fill("k", token, 58, "new", HOUR), "OK")


def rule_without_a_version_the_marker_must_not_have_moved(c):
    equal(c.invalidate("k", 58), "NEW")
    token, floor = c.load("k")
    equal(c.fill("k", token, floor, "x", HOUR), "OK")
    equal(c.get("k")[2], row(58), "it is known to be as new as the marker was")
    equal(c.invalidate("k", 59), "NEW")
    token, floor = c.load("k")
    equal(c.fill("k", token, row(58), "x", HOUR), "OLD")
    token, floor = c.load("k")
    equal(c.invalidate("k", 60), "NEW")
    equal(c.fill("k", token, floor, "x", HOUR), "LEASE_LOST")


def rule_ttl_jitter_and_for_ever(c):
    seen = set()
    for number in range(40):
        c.filled(f"k{number}", 1, "x", 100_000)
        seen.add(c.client.pttl(f"k{number}") // 1000)
        c.filled(f"exact{number}", 1, "x", 100_000, 0)
        assert 99_000 < c.client.pttl(f"exact{number}") <= 100_000
    assert min(seen) >= 89 and max(seen) <= 110 and len(seen) > 5, seen
    c.filled("ever", 1, "x", 0)
    equal(c.client.pttl("ever"), -1)
    equal(c.get("ever")[0], "HIT")
    equal(c.invalidate("ever", 2), "NEW")
    assert 0 < c.client.pttl("ever") <= 60_000, "a marker is not for ever"


def rule_stale_for_serves_while_one_loads(c):
    c.filled("k", 57, "v57", 1, 0, HOUR)
    token, floor = c.over("k")
    equal(floor, row(57))
    equal(c.get("k")[:3], ["STALE", "v57", row(57)])
    assert c.client.pttl("k") > HOUR / 2
    equal(c.fill("k", token, 58, "v58", HOUR), "OK")
    equal(c.get("k")[:2], ["HIT", "v58"])


def rule_an_invalidation_ends_stale_too(c):
    c.filled("k", 57, "v57", 1, 0, HOUR)
    token, _ = c.over("k")
    equal(c.invalidate("k", 58), "NEW")
    equal(c.get("k")[0], "LOAD")
    equal(c.fill("k", token, 58, "x", HOUR), "LEASE_LOST")


def rule_a_payload_is_any_bytes(c):
    for number, payload in enumerate((b"", b"\0", bytes(range(256)) * 300, b"\r\n$3\r\n")):
        c.filled(f"k{number}", 1, payload)
        equal(c.get(f"k{number}")[1].encode("latin-1"), payload)
        equal(c.client.hget(f"k{number}", "p"), payload)


def rule_no_such_row_is_an_answer(c):
    token, floor = c.load("k")
    equal(c.fill_none("k", token, floor, HOUR), "OK")
    equal(c.get("k")[:3], ["HIT", None, NONE])
    equal(c.invalidate("k", 1), "NEW", "the row came")
    c.filled("k", 1)
    equal(c.get("k")[:2], ["HIT", "v"])


def rule_no_such_row_only_without_a_marker_or_over_a_deletion(c):
    equal(c.invalidate("k", 57), "NEW")
    token, floor = c.load("k")
    equal(c.fill_none("k", token, floor, HOUR), "OLD", "the row was seen")
    equal(c.invalidate("k", 57, "deleted"), "NEW")
    token, floor = c.load("k")
    equal(floor, deleted(57))
    equal(c.fill_none("k", token, floor, HOUR), "OK")
    equal(c.get("k")[:3], ["HIT", None, deleted(57)])
    equal(c.invalidate("k", 57, "deleted"), "SAME")
    equal(c.invalidate("k", 58), "NEW")


def rule_no_such_row_against_an_insert(c):
    token, floor = c.load("k")
    equal(c.invalidate("k", 1), "NEW")
    equal(c.fill_none("k", token, floor, HOUR), "LEASE_LOST")


def rule_a_value_replaces_no_such_row_and_back(c):
    equal(c.invalidate("k", 56, "deleted", "", HOUR), "NEW")
    token, floor = c.load("k")
    equal(c.fill_none("k", token, floor, 1, 0), "OK")
    token, floor = c.over("k")
    equal(c.fill("k", token, 57, "v", HOUR), "OK")
    equal(c.get("k")[:2], ["HIT", "v"])
    assert "n" not in c.hash("k")


# --- invalidating

def rule_the_answers_of_an_invalidation(c):
    c.filled("k", 57)
    equal(c.invalidate("k", 57), "KEPT")
    equal(c.get("k")[0], "HIT")
    equal(c.invalidate("k", 57), "SAME")
    equal(c.invalidate("k", 56), "OLD")
    equal(c.invalidate("k", 57, "deleted"), "NEW")
    equal(c.get("k")[0], "LOAD")
    equal(c.invalidate("k", 57, "deleted"), "SAME")
    equal(c.invalidate("k", 57, "row"), "OLD")
    equal(c.invalidate("k", 58), "NEW")
    equal(c.hash("k"), {"m": row(58)})


def rule_a_deletion_is_above_its_row_and_below_the_next_version(c):
    equal(c.invalidate("k", 57, "deleted"), "NEW")
    token, _ = c.load("k")
    equal(c.fill("k", token, 57, "the deleted row", HOUR), "OLD")
    c.filled("k", 58, "inserted again")
    equal(c.invalidate("k", 57, "deleted"), "SAME")
    equal(c.get("k")[:2], ["HIT", "inserted again"])


def rule_an_invalidation_keeps_the_key_and_its_use_count(c):
    c.client.config_set("maxmemory-policy", "allkeys-lfu")
    try:
        c.filled("k", 57)
        for _ in range(300):
            c.get("k")
        before = c.client.object("freq", "k")
        assert before > 5, before
        equal(c.invalidate("k", 58), "NEW")
        assert c.client.object("freq", "k") >= before - 1
    finally:
        c.client.config_set("maxmemory-policy", "noeviction")


def rule_a_marker_lives_as_long_as_it_is_told(c):
    equal(c.invalidate("k", 57), "NEW")
    assert 0 < c.client.pttl("k") <= 2000
    c.filled("there", 57, "x", HOUR)
    equal(c.invalidate("there", 58), "NEW")
    assert 50_000 < c.client.pttl("there") <= 60_000
    equal(c.invalidate("there", 59, "", 5000), "NEW")
    assert 0 < c.client.pttl("there") <= 5000
    equal(c.invalidate("gone", 57, "", "", 0), "NEW")
    equal(c.client.exists("gone"), 0)
    # a lease is a key that is there
    token, _ = c.load("leased")
    equal(c.invalidate("leased", 57, "", "", 0), "NEW")
    equal(c.fill("leased", token, 56, "x", HOUR), "LEASE_LOST")
    assert c.client.pttl("leased") > 50_000


def rule_a_short_value_does_not_shorten_the_marker(c):
    c.short("k", 58)
    assert c.client.pttl("k") > HOUR / 2
    token, _ = c.over("k")
    equal(c.fill("k", token, 57, "old", HOUR), "OLD")


def rule_the_unversioned_form_drops_all_and_takes_no_fill_for_the_quarantine(c):
    c.filled("k", 57, "x", 1, 0, HOUR)
    token, _ = c.over("k")
    equal(c.invalidate("k", "", "", "", "", 1500), "NEW")
    equal(list(c.hash("k")), ["q"])
    equal(c.get("k"), ["MISS"])
    equal(c.fill("k", token, 57, "x", HOUR), "LEASE_LOST")
    equal(c.populate("k", 59, "x", HOUR, "", "", "", 1), "BUSY")
    equal(c.refresh("k", "1", 99, "x", HOUR), "CHANGED")
    equal(c.invalidate("k", 60), "NEW")
    equal(c.get("k"), ["MISS"], "a version does not end it")
    equal((c.populate("k", 60, "x", HOUR), c.hash("k")["m"]), ("BUSY", row(60)))
    token, floor = wait_for("the quarantine is over", lambda: c.get("k")[0] != "MISS") and c.over("k")
    equal(floor, row(60))
    equal(c.fill("k", token, 60, "x", HOUR), "OK")
    assert "q" not in c.hash("k")


def rule_the_unversioned_form_on_an_absent_key_and_without_quarantine(c):
    equal(c.invalidate("k", ""), "NEW")
    equal(c.get("k"), ["MISS"])
    assert 0 < c.client.pttl("k") <= 5000
    equal(c.invalidate("k", "", "", "", "", 10), "NEW")
    assert c.client.pttl("k") > 1000, "a shorter one does not end a longer"
    equal(c.invalidate("k", "", "", "", "", 0), "NEW")
    equal(c.client.exists("k"), 0)


# --- places in a log instead of versions

def place(c, number, at, log="7/binlog", kind="row", *more):
    return c.invalidate("k", number, kind, *(more or ("", "", "")), "", "", log, at)


def rule_places_order_what_has_no_version_and_readers_fill_with_the_floor(c):
    token, floor = c.load("k")
    equal(c.fill("k", token, floor, "v1", HOUR), "OK")
    equal((place(c, 2**53 + 2, 1000), place(c, 2**53 + 2, 1000), place(c, 2**53 + 1, 1000)), ("NEW", "SAME", "OLD"))
    equal((c.hash("k")["m"], c.hash("k")["g"]), (row(2**53 + 2), "7/binlog 1000"))
    token, floor = c.load("k")
    equal(floor, row(2**53 + 2))
    equal(c.fill("k", token, floor, "v2", HOUR), "OK")
    equal((place(c, 2**53 + 2, 1000), place(c, 2**53 + 1, 1000), c.get("k")[:3]), ("SAME", "OLD", ["HIT", "v2", floor]))
    equal(place(c, 2**53 + 3, 900), "NEW", "a place is more than the log's time")
    equal((c.get("k")[0], c.hash("k")["g"]), ("LOAD", "7/binlog 1000"))


def rule_what_is_known_outlives_a_shorter_life_of_what_is_told(c):
    equal(c.invalidate("q", "", "", "", "", HOUR), "NEW")
    equal(c.invalidate("q", 58, "", 10, 10), "NEW")
    assert c.client.pttl("q") > HOUR // 2, "the quarantine goes on"
    equal(c.get("q"), ["MISS"])
    c.filled("k", 58, "v", 60_000, 0)
    equal(c.invalidate("k", 58, "", HOUR), "KEPT")
    assert c.client.pttl("k") > HOUR // 2, "the marker lives as long as it was told"


def rule_nothing_is_put_where_places_are_known(c):
    equal(place(c, 5, 1000), "NEW")
    equal(c.put("k", "s", 1000, 999, "put", HOUR, 100, "id", 1), ["OLD", row(5)])
    equal(c.client.exists("s"), 0)


def rule_a_fill_is_refused_once_the_place_moved(c):
    place(c, 5, 1000)
    token, floor = c.load("k")
    place(c, 6, 1000)
    equal(c.fill("k", token, floor, "old", HOUR), "LEASE_LOST")
    token, floor = c.load("k")
    equal(c.fill_none("k", token, floor, HOUR), "OLD", "there is a row")
    place(c, 7, 1000, "7/binlog", "deleted")
    token, floor = c.load("k")
    equal((floor, c.fill_none("k", token, floor, HOUR)), (deleted(7), "OK"))
    equal((place(c, 8, 1000), c.get("k")[0]), ("NEW", "LOAD"))


def rule_a_place_of_another_log_or_of_one_that_began_again_is_told_without(c):
    for number, at, log in (99, 1000, "8/binlog"), (3, 2000, "7/binlog"), (6, 2000, "7/binlog"), (99, 1000, "7/binlo"), (99, 1000, "7/binlog 1"):
        c.forget("k")
        token, floor = c.load("k")
        equal(c.fill("k", token, floor, "v", HOUR), "OK")
        place(c, 6, 1000)
        equal(c.fill("k", *c.load("k"), "v", HOUR), "OK")
        equal(place(c, number, at, log, "row", "", "", 300), "NEW")
        equal(list(c.hash("k")), ["q"])
        wait_for("the quarantine is over", lambda: c.get("k")[0] != "MISS")
        equal((place(c, number, at, log), c.hash("k")["m"], c.hash("k")["g"]), ("NEW", row(number), f"{log} {at}"))


def rule_places_and_versions_are_never_compared(c):
    c.filled("k", 57)
    equal((place(c, 2**40, 1000), list(c.hash("k"))), ("NEW", ["q"]))
    c.forget("k")
    place(c, 5, 1000)
    token, _ = c.load("k")
    equal(c.fill("k", token, 57, "v", HOUR), "OLD")
    equal(c.put("k", "s", 58, 0, "v", HOUR, 100, "id", 1)[0], "OLD")
    equal(c.fill("k", *c.load("k"), "v", HOUR), "OK")
    equal(c.refresh("k", c.get("k")[3], 57, "v", HOUR), "OLD")
    equal(c.refresh("k", c.get("k")[3], row(5), "w", HOUR), "OK")
    equal((c.invalidate("k", 2**40), list(c.hash("k"))), ("NEW", ["q"]))
    c.forget("k")
    place(c, 5, 1000)
    equal((c.populate("k", 2**40, "v", HOUR, "", "", "", 1), list(c.hash("k"))), ("BUSY", ["q"]))
    assert 0 < c.client.pttl("k") <= 5000
    c.forget("k")
    place(c, 5, 1000)
    equal(c.populate("k", 2**40, "v", HOUR, "", "", "", 1, "", "", HOUR), "BUSY")
    assert HOUR / 2 < c.client.pttl("k") <= HOUR, "the quarantine that was asked for"


def rule_a_place_on_an_absent_key_lives_as_long_as_a_version_s(c):
    equal((place(c, 5, 1000), 0 < c.client.pttl("k") <= 2000), ("NEW", True))
    equal((place(c, 6, 1000), 0 < c.client.pttl("k") <= 2000), ("NEW", True))
    c.load("k", 60_000)
    equal((place(c, 7, 1000), c.client.pttl("k") > 50_000), ("NEW", True))
    c.forget("k")
    equal((place(c, 5, 1000, "7/binlog", "row", "", 0, ""), c.client.exists("k")), ("NEW", 0))
    assert "at is missing" in refused(c.invalidate, "k", 5, "", "", "", "", "", "", "7/binlog")


# --- put: the value at once, its write by way of the stream

def put(c, version, base, payload="put", most=100):
    answer = c.put("k", "s", version, base, payload, HOUR, most, "id", 1, "name", payload)
    equal(answer[0], "OK")
    return answer[1]


def rule_put_is_read_at_once_and_its_write_is_in_the_stream(c):
    c.filled("k", 57, "v57")
    identity = put(c, 58, c.get("k")[2])
    equal(c.get("k")[:3], ["HIT", "put", row(58)])
    equal(c.client.xrange("s"), [(identity.encode(), {b"_version": b"58", b"id": b"1", b"name": b"put"})])
    equal({name: c.hash("k")[name] for name in "bci"}, {"b": row(58), "c": row(57), "i": identity})


def rule_a_put_whose_write_is_refused_leaves_the_value_as_it_was(c):
    c.filled("k", 57, "v57")
    before = c.hash("k")
    c.client.xadd("s", {"id": 1}, id="18446744073709551615-18446744073709551615")
    assert "exhausted" in refused(c.put, "k", "s", 58, c.get("k")[2], "x", HOUR, 100, "id", 1)
    equal(c.hash("k"), before)
    equal(c.get("k")[:2], ["HIT", "v57"])


def rule_while_a_put_is_pending_nothing_else_fills(c):
    token, _ = c.load("k")
    put(c, 58, 57)
    equal(c.fill("k", token, 59, "x", HOUR), "LEASE_LOST")
    equal(c.refresh("k", c.get("k")[3], 60, "x", HOUR), "CHANGED")
    equal(c.populate("k", 57, "x", HOUR), "BUSY")
    equal(c.get("k")[1], "put")
    c.client.hset("k", "e", 1)
    equal(c.get("k"), ["MISS"], "over its time, and its row isn't written")


def rule_a_put_is_kept_when_its_write_is_committed(c):
    c.filled("k", 57, "v57")
    equal(c.invalidate("k", 57), "KEPT")
    put(c, 58, 57)
    equal(c.invalidate("k", 58), "KEPT")
    equal(c.get("k")[:3], ["HIT", "put", row(58)])
    assert not set("bci") & set(c.hash("k")), c.hash("k")
    equal(c.invalidate("k", 58), "SAME")
    equal(c.invalidate("k", 59), "NEW")


def rule_a_put_is_evicted_when_someone_else_wrote_in_between(c):
    for told_before in (True, False):
        c.forget("k")
        c.filled("k", 57, "v57")
        put(c, 59, 57)
        if told_before:
            equal(c.invalidate("k", 58), "KEPT", "the put is newer, until it is settled")
            equal(c.get("k")[1], "put")
            equal(c.invalidate("k", 59), "NEW")
        else:
            equal(c.invalidate("k", 59, "", "", "", "", 58), "NEW", "both in one batch")
        equal(c.hash("k"), {"m": row(59)})


def rule_puts_may_follow_each_other_before_the_first_is_settled(c):
    c.filled("k", 57, "v57")
    put(c, 58, 57), put(c, 59, 58), put(c, 60, 59), put(c, 61, 60, "last")
    equal(c.invalidate("k", 58), "KEPT")
    equal(c.invalidate("k", 61, "", "", "", "", 60, 2), "KEPT")
    equal(c.get("k")[:2], ["HIT", "last"])
    equal(c.hash("k")["o"], row(58))
    put(c, 62, 61), put(c, 63, 62), put(c, 64, 63, "last")
    equal(c.invalidate("k", 63, "", "", "", "", 62), "KEPT")
    equal(c.invalidate("k", 64), "KEPT")
    equal(c.get("k")[:2], ["HIT", "last"])


def rule_someone_else_s_write_among_puts_ends_them(c):
    def chain():
        c.forget("k"), c.filled("k", 57, "v57")
        put(c, 60, 57), put(c, 62, 60), put(c, 64, 62)
    chain()
    equal(c.invalidate("k", 64, "", "", "", "", 62, 3), "NEW", "58, 60 and 62 were told with it")
    chain()
    equal(c.invalidate("k", 64, "", "", "", "", 63, 2), "NEW")
    for other in (58, 61, 63):
        chain()
        for version in sorted((60, 62, other)):
            equal(c.invalidate("k", version), "KEPT", "the put is newer")
        equal(c.invalidate("k", 64), "NEW", other)


def rule_a_long_chain_of_puts_isn_t_remembered(c):
    c.filled("k", 1, "v1")
    for version in range(2, 50):
        put(c, version, version - 1)
    assert len(c.hash("k")["c"]) < 800
    equal(c.invalidate("k", 49, "", "", "", "", 48, 47), "NEW")


def rule_puts_may_follow_each_other_when_each_is_settled(c):
    c.filled("k", 57, "v57")
    for version in (58, 59, 60):
        put(c, version, version - 1, "last")
        equal(c.invalidate("k", version), "KEPT")
    equal(c.get("k")[:2], ["HIT", "last"])


def rule_a_put_where_nothing_was_is_kept_only_when_it_came_from_nothing(c):
    """What was told before the key was evicted isn't known."""
    put(c, 59, 57)
    equal(c.get("k")[1], "put")
    equal(c.invalidate("k", 59), "NEW")
    for base in (0, NONE):
        c.forget("k")
        put(c, 59, base)
        equal(c.invalidate("k", 59), "KEPT")


def rule_a_settled_put_goes_when_someone_else_s_write_is_told_late(c):
    c.filled("k", 57, "v57")
    put(c, 59, 57)
    equal(c.invalidate("k", 59), "KEPT")
    equal(c.invalidate("k", 57), "OLD", "it was computed from that")
    equal(c.get("k")[0], "HIT")
    equal(c.invalidate("k", 58), "NEW")
    equal(c.hash("k"), {"m": row(59)})
    c.forget("k"), c.filled("k", 57, "v57")
    put(c, 59, 57)
    equal(c.invalidate("k", 59), "KEPT")
    put(c, 60, 59)
    equal(c.invalidate("k", 58), "OLD", "one that is pending is settled later")
    equal(c.invalidate("k", 60), "NEW")
    c.filled("k", 61)
    equal(c.invalidate("k", 58), "OLD", "a loaded value has it")
    equal(c.get("k")[0], "HIT")


def rule_a_put_computed_from_a_refused_one_goes(c):
    c.filled("k", 57, "v57")
    put(c, 58, 57), put(c, 59, 58)
    equal(c.invalidate("k", 58, "refused"), "SAME")
    equal(c.invalidate("k", 59), "NEW")


def rule_of_several_refused_the_highest_is_told(c):
    c.filled("k", 57, "v57")
    put(c, 58, 57)
    equal(c.invalidate("k", 59, "refused"), "NEW")
    equal(c.get("k")[0], "LOAD")


def rule_a_put_ends_no_quarantine(c):
    c.filled("k", 57, "v57")
    equal(c.invalidate("k", ""), "NEW")
    put(c, 58, 57)
    equal(c.get("k")[1], "put")
    equal(c.invalidate("k", 58), "NEW")
    equal(c.get("k"), ["MISS"])


def rule_a_marker_of_an_absent_key_stays_short_and_nothing_is_populated_over_it(c):
    equal(c.invalidate("k", 57), "NEW")
    equal(c.invalidate("k", 58), "NEW")
    assert 0 < c.client.pttl("k") <= 2000
    equal(c.populate("k", 59, "x", HOUR), "ABSENT")
    equal(c.hash("k"), {"m": row(59)})
    assert 0 < c.client.pttl("k") <= 2000


def rule_a_put_from_an_old_value_or_behind_a_backlog_does_nothing(c):
    c.filled("k", 57, "v57")
    equal(c.put("k", "s", 58, 56, "x", HOUR, 9, "id", 1), ["OLD", row(57)])
    equal(c.client.exists("s"), 0)
    for number in range(4):
        c.client.xadd("s", {"a": number})
    equal(c.put("k", "s", 58, 57, "x", HOUR, 3, "id", 1), ["FULL", 4])
    c.client.xgroup_create("s", "sluice-default", "$", entries_read=4)
    if isinstance(c.client.xinfo_groups("s")[0].get("lag"), int):
        equal(c.put("k", "s", 58, 57, "x", HOUR, 0, "id", 1)[0], "OK")
        equal(c.put("k", "s", 59, 58, "x", HOUR, 0, "id", 1), ["FULL", 1])
        equal(c.get("k")[2], row(58))


def rule_a_put_behind_a_row_that_is_not_populated_is_settled_by_what_was_told_with_it(c):
    for before, answer in (((), "KEPT"), ((55,), "NEW"), ((50,), "KEPT")):
        c.forget("k")
        c.filled("k", 50, "v50")
        put(c, 58, 50), put(c, 59, 58)
        equal(c.populate("k", 58, "row", HOUR, "", "", "", "", "", "", "", *before), "BUSY")
        equal(c.get("k")[:2], ["HIT", "put"])
        equal(c.invalidate("k", 59), answer, "the row had someone else's 55, and the value that was put hasn't")


def rule_what_a_put_value_leaves_goes_in_time(c):
    """However long the value itself was to live."""
    forever = lambda version, base: equal(c.put("k", "s", version, base, "v", 0, 100, "id", 1)[0], "OK")
    c.filled("k", 50, "v", 0)
    equal(c.invalidate("k", 50), "KEPT")
    forever(58, 50)
    equal((c.client.pttl("k"), c.invalidate("k", 58, "refused")), (-1, "NEW"))
    equal((c.hash("k"), 0 < c.client.pttl("k") <= 60000), ({"m": row(50)}, True))
    c.forget("k")
    c.filled("k", 50, "v", 0)
    forever(58, 50)
    equal((c.invalidate("k", 58), c.client.pttl("k")), ("KEPT", -1))
    equal(c.invalidate("k", 55), "NEW", "someone else's, told late")
    equal((c.hash("k"), 0 < c.client.pttl("k") <= 60000), ({"m": row(58)}, True))


def rule_a_put_whose_write_is_refused_goes(c):
    put(c, 58, 57)
    equal(c.invalidate("k", 57, "refused"), "SAME")
    equal(c.get("k")[1], "put")
    equal(c.invalidate("k", 58, "refused"), "NEW")
    equal(c.get("k")[0], "LOAD")


def rule_a_put_ends_with_an_invalidation_that_is_newer_or_has_no_version(c):
    put(c, 58, 57)
    equal(c.invalidate("k", 59), "NEW")
    equal(c.invalidate("k", 58), "OLD")
    equal(c.hash("k"), {"m": row(59)})
    c.forget("k")
    put(c, 58, 57)
    equal(c.invalidate("k", ""), "NEW")
    equal(list(c.hash("k")), ["q"])


# --- populate, refresh, drop

def rule_populate_writes_over_what_is_there_and_never_older(c):
    equal(c.populate("k", 57, "x", HOUR, "", "", "", "", 0), "ABSENT")
    equal(c.client.exists("k"), 0)
    equal(c.populate("k", 57, "x", HOUR), "ABSENT")
    equal(c.hash("k"), {"m": row(57)}, "told, as an invalidation does")
    c.forget("k")
    equal(c.populate("k", 57, "v57", HOUR, "", "", "", 1), "OK")
    equal(c.populate("k", 56, "v56", HOUR), "OLD")
    equal(c.populate("k", 57, "repaired", HOUR), "OK", "an equal version is not trusted")
    equal(c.get("k")[1], "repaired")
    equal(c.invalidate("k", 58), "NEW")
    equal(c.populate("k", 57, "v57", HOUR), "OLD")
    equal(c.populate("k", 58, "v58", HOUR), "OK", "over a marker")
    equal(c.invalidate("k", 58), "SAME")
    equal(c.get("k")[1], "v58")


def rule_what_was_read_too_long_ago_is_not_populated(c):
    seconds, us = c.client.time()
    now = seconds * 1000 + us // 1000
    populate = lambda version, read_at, marker="", marker_absent="", quarantine="": c.populate(
        "k", version, f"v{version}", HOUR, "", "", marker, 1, marker_absent, read_at, quarantine)
    equal(populate(57, now - HOUR), "LATE", "on an absent key")
    equal(c.hash("k"), {"m": row(57)}, "it is told all the same")
    equal(populate(57, now, "", HOUR), "OK")
    equal(c.invalidate("k", 58), "NEW")
    equal(populate(59, now - 3_601_000, HOUR, HOUR, HOUR), "LATE", "over a marker")
    equal((c.get("k")[0], c.hash("k")["m"]), ("LOAD", row(59)))
    equal(populate(60, now - HOUR, 2 * HOUR, 2 * HOUR, 2 * HOUR), "OK", "as long as what is told lives")
    equal(populate(61, now - HOUR, 60_000, 2 * HOUR, 2 * HOUR), "LATE", "the marker of a key that was there")
    equal(populate(61, now - HOUR, 2 * HOUR, 60_000, 2 * HOUR), "LATE", "the marker of one that wasn't")
    equal(populate(61, now - HOUR, 2 * HOUR, 2 * HOUR, 60_000), "LATE", "an outside write without a version")
    equal(populate(61, now + HOUR, "", 0), "OK", "clocks are never quite the same")


def rule_populate_in_another_order_leaves_the_newest(c):
    for order in ((57, 58, 59), (59, 58, 57), (58, 59, 57)):
        c.forget("k")
        for version in order:
            c.populate("k", version, f"v{version}", HOUR, "", "", "", 1)
        equal(c.get("k")[1], "v59", order)


def rule_populate_takes_a_slow_reader_s_lease(c):
    token, _ = c.load("k")
    equal(c.populate("k", 58, "v58", HOUR), "ABSENT", "a lease is no value")
    equal(c.fill("k", token, 57, "v57", HOUR), "LEASE_LOST", "its reader may have read the row before")
    c.forget("k")
    equal(c.invalidate("k", 57), "NEW")
    token, _ = c.load("k")
    equal(c.populate("k", 58, "v58", HOUR), "OK")
    equal(c.fill("k", token, 58, "x", HOUR), "LEASE_LOST")


def rule_refresh_only_over_the_value_that_was_seen(c):
    c.filled("k", 57, "v57")
    stamp = c.get("k")[3]
    equal(c.refresh("k", stamp, 56, "v56", HOUR), "OLD")
    equal(c.refresh("k", stamp, 57, "v57b", HOUR), "OK")
    equal(c.refresh("k", stamp, 58, "v58", HOUR), "CHANGED")
    stamp = c.get("k")[3]
    equal(c.invalidate("k", 58), "NEW")
    equal(c.refresh("k", stamp, 57, "old", HOUR), "CHANGED")
    c.forget("k")  # the marker is lost as well
    equal(c.refresh("k", stamp, 57, "old", HOUR), "CHANGED")
    c.filled("k", 58, "v58")
    equal(c.refresh("k", stamp, 58, "old", HOUR), "CHANGED")
    equal(c.get("k")[1], "v58")


def rule_refresh_without_a_version(c):
    token, floor = c.load("k")
    equal(c.fill("k", token, floor, "a", HOUR), "OK")
    _, _, version, stamp = c.get("k")
    equal(c.refresh("k", stamp, version, "b", HOUR), "OK")
    equal(c.get("k")[1:3], ["b", NONE])


def rule_every_write_has_another_stamp(c):
    stamps = []
    c.filled("k", 1)
    for _ in range(50):
        stamps.append(c.get("k")[3])
        equal(c.refresh("k", stamps[-1], 1, "x", HOUR), "OK")
    equal(len(set(stamps)), 50)
    c.client.hset("k", "w", "9000000000000000")  # the clock was set back
    equal(c.refresh("k", "9000000000000000", 1, "x", HOUR), "OK")
    equal(c.get("k")[3], "9000000000000001")


def rule_drop(c):
    equal(c.drop("k"), "ABSENT")
    c.filled("k", 57)
    equal(c.drop("k"), "OK")
    equal(c.client.exists("k"), 0)


# --- generations

def rule_a_generation_only_rises(c):
    seen = [int(c.generation("g"))]
    equal(int(c.generation("g")), seen[0])
    for _ in range(20):
        seen.append(int(c.generation_raise("g")))
        equal(int(c.generation("g")), seen[-1])
    equal(seen, sorted(set(seen)))
    c.client.set("g", 9_000_000_000_000_000)  # a clock far behind
    equal(c.generation_raise("g"), "9000000000000001")


def rule_a_lost_generation_comes_back_newer(c):
    first = int(c.generation("g"))
    for _ in range(20):
        last = int(c.generation_raise("g"))
    c.forget("g")
    equal(c.generation_raise("g"), None)
    assert int(c.generation("g")) > last > first
    assert 0 < c.client.pttl("g") or c.generation("g", 5000) and 0 < c.client.pttl("g") <= 5000


def rule_members_leave_until_the_time_is_over(c):
    c.client.sadd("tag", "a", "b", "c")
    seconds, us = c.client.time()
    equal(c.untag("tag", seconds * 1_000_000 + us - 1, "a"), 0)
    equal(c.untag("tag", (seconds + 60) * 1_000_000, "a", "b", "x"), 2)
    equal(c.client.smembers("tag"), {b"c"})
    for arguments in (["1"], ["x", "a"], ["1" * 17, "a"]):
        assert "sluice: " in refused(c.untag, "tag", *arguments)


# --- faults

def rule_no_other_key_is_touched(c):
    for name in ("other", "k2"):
        c.client.set(name, "x")
    for key in ([], ["a", "b"]):
        if not c.sha:
            assert "one key" in refused(c.client.fcall, "sluice_get", len(key), *key)
    c.filled("k", 1), c.invalidate("k", 2), c.drop("k")
    equal(sorted(c.client.keys()), [b"k2", b"other"])


def calls_of_each(c, key):
    return [lambda: c.get(key), lambda: c.fill(key, "1", 1, "x", HOUR), lambda: c.fill_none(key, "1", NONE, HOUR), lambda: c.invalidate(key, 1),
            lambda: c.invalidate(key, ""), lambda: c.populate(key, 1, "x", HOUR, "", "", "", 1), lambda: c.refresh(key, "1", 1, "x", HOUR),
            lambda: c.drop(key)]


def rule_a_key_of_another_kind_is_named_and_left_alone(c):
    c.client.set("text", "x"), c.client.hset("theirs", "name", "Bob"), c.client.xadd("stream", {"a": 1})
    before = [c.client.dump(key) for key in ("text", "theirs", "stream")]
    for key in ("text", "theirs", "stream"):
        for call in calls_of_each(c, key):
            try:
                answer = call()
                assert key == "theirs" and answer in ("LEASE_LOST", "CHANGED"), (key, answer)
            except redis.ResponseError as error:
                assert "WRONGTYPE" in str(error), error
    for call in (lambda: c.generation("theirs"), lambda: c.generation_raise("theirs"), lambda: c.generation("text")):
        assert re.search("WRONGTYPE|no generation", refused(call))
    equal([c.client.dump(key) for key in ("text", "theirs", "stream")], before)
    equal(c.client.pttl("theirs"), -1)


def rule_wrong_arguments_are_refused_and_change_nothing(c):
    c.filled("k", 57, "x", 0)
    before = c.hash("k")
    for call, name, arguments in (
            (c.get, "lease", ["x"]), (c.get, "lease", ["-1"]), (c.get, "lease", [4_000_000]), (c.get, "arguments", [1, 1, 1, 1]), (c.get, "sample", [1, 1, "x"]),
            (c.fill, "ttl", ["1", 1, "x"]), (c.fill, "ttl", ["1", 1, "x", "1.5"]), (c.fill, "version", ["1", "-1", "x", 1]),
            (c.fill, "version", ["1", "1e3", "x", 1]), (c.fill, "version", ["1", "", "x", 1]), (c.fill, "version", ["1", 2**64, "x", 1]),
            (c.fill, "jitter", ["1", 1, "x", 1, 101]), (c.fill_none, "floor", ["1", "57", 1]), (c.invalidate, "version", []),
            (c.invalidate, "kind", [1, "gone"]), (c.invalidate, "version", ["1" * 21]), (c.invalidate, "marker", [1, "", "1e9"]),
            (c.invalidate, "version", [" 1"]), (c.populate, "version", ["", "x", 1]), (c.populate, "always", [1, "x", 1, "", "", "", 2]),
            (c.refresh, "ttl", [1, 1, "x"]), (c.lease, "most", [1, "x"]), (c.stretch, "ms", [1]), (c.drop, "arguments", [1])):
        assert name in refused(call, "k", *arguments), (name, arguments)
    equal(c.hash("k"), before)


def rule_versions_are_exact(c):
    """Against Python's whole numbers, most of them where doubles are not exact."""
    chance = random.Random(20260101)
    around = [0, 1, 9, 10, 2**31, 2**53, 2**63, 2**64 - 2]
    for _ in range(300):
        a = min(2**64 - 1, max(0, chance.choice(around) + chance.randint(-2, 2)))
        b = min(2**64 - 1, max(0, a + chance.choice((-1, 0, 0, 1, chance.randint(-5, 5)))))
        kind_a, kind_b = chance.choice((1, 2)), chance.choice((1, 2))
        c.forget("k")
        equal(c.invalidate("k", a, ["row", "deleted"][kind_a - 1]), "NEW")
        want = "SAME" if (a, kind_a) == (b, kind_b) else "OLD" if (b, kind_b) < (a, kind_a) else "NEW"
        equal(c.invalidate("k", b, ["row", "deleted"][kind_b - 1]), want, f"{a}.{kind_a} then {b}.{kind_b}")
        c.forget("k")
        equal(c.invalidate("k", a, ["row", "deleted"][kind_a - 1]), "NEW")
        token, _ = c.load("k")
        equal(c.fill("k", token, f"{b:0{chance.randint(1, 20)}}", "x", HOUR), "OK" if (b, 1) >= (a, kind_a) else "OLD", f"{a}.{kind_a} filled {b}")


# --- for a refresher

def rule_a_refresher_s_lease_leaves_the_value_to_the_readers(c):
    equal(c.lease("k"), ["ABSENT"])
    c.filled("k", 57, "old", 60_000, 0)
    word, left = c.lease("k", "", 1000)
    assert word == "FRESH" and 50_000 < left <= 60_000, (word, left)
    word, token, stamp, version = c.lease("k", "", 60_000)
    equal([word, version], ["LOAD", row(57)])
    equal(c.get("k")[:2], ["HIT", "old"])
    equal(c.lease("k", "", 60_000)[0], "WAIT", "another refresher")
    equal(c.refresh("k", stamp, 57, "new", 60_000, 0), "OK")
    equal(c.get("k")[:2], ["HIT", "new"])
    equal(c.release("k", token), "LEASE_LOST", "the refresh ended it")


def rule_a_lease_given_back_is_there_for_the_next_one(c):
    c.filled("k", 57, "v", 60_000, 0)
    token = c.lease("k", "", 60_000)[1]
    equal(c.release("k", "0"), "LEASE_LOST")
    equal(c.release("k", token), "OK")
    equal(c.lease("k", "", 60_000)[0], "LOAD")


def rule_a_value_for_ever_needs_no_refresh(c):
    c.filled("k", 57, "v", 0)
    equal(c.lease("k", "", 1000), ["FRESH", -1])


def rule_a_refresh_that_an_invalidation_overtook_writes_nothing(c):
    c.filled("k", 57, "old", 60_000, 0)
    _, token, stamp, _ = c.lease("k", "", 60_000)
    equal(c.invalidate("k", 58), "NEW")
    equal(c.refresh("k", stamp, 57, "old", 60_000, 0), "CHANGED")
    reader, floor = c.load("k")
    equal(c.release("k", token), "LEASE_LOST", "the reader's lease is not ours")
    equal(c.fill("k", reader, 58, "new", 60_000), "OK")


def rule_while_a_refresher_loads_an_expired_value_has_no_second_loader(c):
    equal(c.invalidate("k", 57, "", "", HOUR), "NEW")
    c.filled("k", 57, "v", 40, 0)
    equal(c.lease("k", 60_000, 60_000)[0], "LOAD")
    wait_for("it is over its time", lambda: c.get("k")[0] == "WAIT")


def rule_a_stretched_value_is_stale_and_can_be_refreshed(c):
    equal(c.invalidate("k", 57, "", "", HOUR), "NEW")
    c.filled("k", 57, "v", 30, 0)
    stamp = c.hash("k")["w"]
    equal(c.stretch("k", "0", 60_000), "CHANGED")
    equal(c.stretch("k", stamp, 60_000), "OK")
    wait_for("it is over its time", lambda: c.get("k")[:2] == ["STALE", "v"])
    equal(c.stretch("k", stamp, 60_000), "OK", "again")
    word, token, seen, _ = c.lease("k", "", 1000)
    equal([word, seen], ["LOAD", stamp])
    equal(c.stretch("k", stamp, 60_000), "WAIT", "somebody loads")
    equal(c.refresh("k", seen, 57, "new", HOUR), "OK")
    equal(c.get("k")[:2], ["HIT", "new"])


def rule_a_stretched_value_is_no_more_after_an_invalidation(c):
    c.filled("k", 57, "v", 60_000, 0)
    equal(c.stretch("k", c.hash("k")["w"], 60_000), "OK")
    equal(c.invalidate("k", 58), "NEW")
    equal(c.get("k")[0], "LOAD")


def rule_no_order_of_loads_invalidations_and_evictions_brings_an_old_value_back(c):
    """Two refreshers and two readers, each somewhere between its lease, its SELECT and its write."""
    looks = 0
    for seed in range(10):
        chance, committed, told, steps = random.Random(seed), 1, 0, []
        c.forget("k")
        actors = [{"kind": kind, "at": 0} for kind in ("refresher", "refresher", "reader", "reader")]
        for _ in range(300):
            what = chance.choice(actors + ["commit", "invalidate", "evict", "look", "look"])
            steps.append(what if isinstance(what, str) else what["kind"] + str(what["at"]))
            if what == "commit":
                committed += 1
            elif what == "invalidate":
                if chance.random() < 0.25:
                    told = committed
                    c.invalidate("k", told)
            elif what == "evict":
                if chance.random() < 0.1:
                    c.forget("k")
            elif what == "look":
                held = c.hash("k")
                looks += "p" in held
                assert "p" not in held or (int(held["p"]) >= told and held["r"] >= row(told)), (seed, steps, held, told)
            elif what["at"] == 0 and what["kind"] == "refresher":
                answer = c.lease("k", 1000, HOUR)
                what.update(at=int(answer[0] == "LOAD"), seen=answer)
            elif what["at"] == 0:
                answer = c.get("k", 1000, 10)
                what.update(at=int(answer[0] == "LOAD"), seen=answer)
            elif what["at"] == 1:
                what.update(at=2, read=committed)
            else:
                what["at"] = 0
                if chance.random() < 0.2:
                    continue  # it dies
                if what["kind"] == "refresher":
                    c.refresh("k", what["seen"][2], what["read"], str(what["read"]), HOUR // 2)
                    c.release("k", what["seen"][1])
                else:
                    c.fill("k", what["seen"][1], what["read"], str(what["read"]), HOUR // 2)
    assert looks > 100, "hardly ever a value was there"


def rule_a_hash_of_another_kind_is_left_alone_whatever_its_fields_are_called(c):
    for fields in ({"m": "male"}, {"q": "yes"}, {"q": "3"}, {"t": "x"}, {"w": "80", "h": "200"}, {"w": "x", "e": "y"}, {"t": "x", "l": "large"},
                   {"p": "1.50", "q": "12", "r": "7"}, {"e": "x", "s": "y", "l": "z", "b": "1"}):
        c.client.delete("theirs")
        c.client.hset("theirs", mapping=fields)
        before = c.client.dump("theirs")
        for call in calls_of_each(c, "theirs") + [lambda: c.lease("theirs"), lambda: c.stretch("theirs", "", 5),
                                                  lambda: c.put("theirs", "s", 9, 0, "x", HOUR, 9, "id", 1)]:
            try:
                answer = call()
                assert answer in ("LEASE_LOST", "CHANGED", ["ABSENT"], ["FRESH", -1]), (fields, answer)
            except redis.ResponseError as error:
                assert "WRONGTYPE" in str(error), (fields, error)
            equal(c.client.dump("theirs"), before, fields)
            equal(c.client.pttl("theirs"), -1)


class Resp3:
    """A client that speaks RESP3 and keeps copies: what it hears, as bytes."""

    def __init__(self, client):
        self.side = socket.create_connection(("127.0.0.1", client.connection_pool.connection_kwargs["port"]), 20)
        self.ask("HELLO", "3", until=b"modules")
        self.ask("CLIENT", "TRACKING", "ON", until=b"+OK")

    def hear(self, until):
        heard = b""
        while until not in heard:
            piece = self.side.recv(65536)
            assert piece, "the server closed it"
            heard += piece
        return heard

    def ask(self, *words, until):
        self.side.sendall(b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)]))
        return self.hear(until)


def rule_tracking_clients_are_woken_for_absent_keys_too(c):
    client = Resp3(c.client)
    try:
        c.filled("k", 57)
        client.ask("HGET", "k", "p", until=b"v\r\n"), c.invalidate("k", 58)
        client.hear(b"invalidate\r\n*1\r\n$1\r\nk\r\n")
        c.filled("k", 58)
        client.ask("FCALL", "sluice_get", "1", "k", until=row(58).encode()) if not c.sha else client.ask("HGET", "k", "p", until=b"v\r\n")
        c.invalidate("k", "")
        client.hear(b"invalidate\r\n*1\r\n$1\r\nk\r\n")
        client.ask("HGET", "absent", "p", until=b"_\r\n"), c.invalidate("absent", 58)
        client.hear(b"invalidate\r\n*1\r\n$6\r\nabsent\r\n")
        token, floor = c.load("none")
        equal(c.fill_none("none", token, floor, HOUR), "OK")
        if not c.sha:
            heard = client.ask("FCALL", "sluice_get", "1", "none", until=NONE.encode())
            assert heard.startswith(b"*4\r\n$3\r\nHIT\r\n_\r\n"), heard
    finally:
        client.side.close()


def rule_reads_are_reported_to_whoever_listens(c):
    listener = c.client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("sluice:reads")
    wait_for("the subscription", lambda: c.client.pubsub_numsub("sluice:reads")[0][1] == 1)
    c.get("k", "", "", 1), c.get("k"), c.filled("j", 57), c.get("j", "", "", 1)
    got = []
    wait_for("two messages", lambda: [got.append(m["data"]) for m in [listener.get_message()] if m] and len(got) == 2)
    equal(got, [b"1 M k", b"1 H j"])
    for _ in range(2000):
        c.get("j", "", "", 20)
    c.client.publish("sluice:reads", "end")
    wait_for("all of them", lambda: [got.append(m["data"]) for m in [listener.get_message()] if m] and got[-1] == b"end", every=0)
    got.pop()
    assert 40 <= len(got) - 2 <= 250, len(got)
    equal(set(got[2:]), {b"20 H j"})
    listener.close()


def rule_any_arguments_are_answered_or_refused(c):
    """Never a Lua error, never a key that stays for ever but by ttl 0."""
    chance = random.Random(4711)
    some = ["", "0", "1", "57", str(2**64 - 1), str(2**64), "9" * 40, "-1", "1.0", "1e3", "nan", "inf", "0x10", " 1", "1 ", "\0", "row", "deleted",
            NONE, row(5), deleted(5), row(5)[:-1] + "7", b"\xff" * 30, "x" * 5000, "100", "5000"]
    names = re.findall(r"offer\('sluice_(\w+)'", SOURCE)
    assert len(names) == 14, names
    for _ in range(600):
        name, key = chance.choice(names), chance.choice(("k1", "k2", "k3"))
        arguments = [chance.choice(some) for _ in range(chance.randint(0, 12 if name == "put" else 8))]
        if chance.random() < 0.3:
            arguments[:1] = [c.hash(key).get(chance.choice("tw"), "0")] if c.client.type(key) == b"hash" else ["0"]
        if chance.random() < 0.05:
            c.forget(key)
        try:
            c.call("sluice_" + name, (key, "s") if name == "put" else key, *arguments)
        except redis.ResponseError as error:
            assert re.search(r"sluice: |WRONGTYPE", str(error)), (name, arguments, str(error))
        if c.client.type(key) == b"hash" and c.client.ttl(key) == -1:
            assert {"w"} <= set(c.hash(key)) and "e" not in c.hash(key), (name, arguments, c.hash(key))


def rule_at_oom_an_invalidation_works_and_a_fill_does_not(c):
    c.filled("k", 57), c.filled("d", 57), c.generation("g")
    token, _ = c.load("lease")
    c.client.config_set("maxmemory", 1)
    try:
        assert "OOM" in refused(c.fill, "lease", token, 57, "x", HOUR)
        equal(c.get("k")[:2], ["HIT", "v"])
        equal(c.invalidate("k", 58), "NEW")
        assert c.client.hget("k", "p") is None
        equal(c.invalidate("lease", ""), "NEW")
        equal(c.drop("d"), "OK")
        if not c.sha:
            equal(c.hash("k"), {"m": row(58)})
            equal(c.get("k")[0], "LOAD")
            assert int(c.generation_raise("g")) > 0
        assert "OOM" in refused(c.populate, "k", 59, "x", HOUR, "", "", "", 1)
        assert "OOM" in refused(c.put, "k", "s", 59, 58, "x", HOUR, 100, "id", 1)
        assert not c.client.exists("s") and c.client.hget("k", "p") is None
    finally:
        c.client.config_set("maxmemory", 0)
    equal(c.fill("lease", token, 56, "old", HOUR), "LEASE_LOST")


RULES = {name[5:]: rule for name, rule in list(globals().items()) if name.startswith("rule_")}


def play(client, script=False):
    for name, rule in RULES.items():
        client.flushall()
        cache = Cache(client, script)
        try:
            rule(cache)
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error


def one_rule(rule):
    def test(t):
        t.redis.flushall()
        rule(Cache(t.redis))
    return test


globals().update({"test_" + name: one_rule(rule) for name, rule in RULES.items()})


@limit(120)
def test_all_of_it_as_a_script(t):
    t.redis.flushall(), t.redis.function_flush()
    play(t.redis, script=True)


@limit(150)
def test_all_of_it_on_redis_8(t):
    play(t.own_redis(command=other_server("redis8")[0]).client())


@limit(150)
def test_all_of_it_on_valkey_8(t):
    play(t.own_redis(command=other_server("valkey8")[0]).client())


# --- the library on a server

def test_load_puts_it_there_and_never_replaces_a_newer_one(t):
    t.own_redis()
    path = t.write_config()
    equal(t.command("functions", "load", path)[0], 0)
    equal(t.redis.fcall("sluice_version", 0), re.search("MINOR = '(.*)'", SOURCE)[1].encode())
    for other, stays in (("1.9", True), ("1.10", True), ("1.", False)):
        t.redis.function_load(re.sub("MINOR = '.*'", f"MINOR = '{other}'", SOURCE), replace=True)
        equal(t.command("functions", "load", path)[0], 0)
        equal(t.redis.fcall("sluice_version", 0).decode() == other, stays, other)


def test_a_library_of_another_major_version_is_left_alone_and_the_script_does_it(t):
    t.own_redis()
    other = re.sub("MINOR = '.*'", "MINOR = '2.99'", SOURCE).replace("name=sluice_1", "name=sluice_2", 1)
    t.redis.function_load(other)
    path = t.write_config()
    code, out, err = t.command("functions", "load", path)
    equal((code, "EVALSHA" in out), (0, True), out + err)
    equal(t.redis.fcall("sluice_version", 0), b"2.99")
    equal([library[1] for library in t.redis.function_list()], [b"sluice_2"])


def test_load_says_what_it_does_where_functions_are_denied(t):
    t.own_redis()
    t.redis.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-fcall", "-function")
    path = t.write_config(redis={"url": f"redis://app:pw@127.0.0.1:{t.redis_server.port}"})
    code, out, err = t.command("functions", "load", path)
    equal(code, 0, err)
    sha = re.search("EVALSHA ([0-9a-f]{40})", out)[1]
    equal(t.redis.evalsha(sha, 1, "k", "sluice_get")[0], b"LOAD")
    t.redis.execute_command("ACL", "SETUSER", "app", "-script")
    equal(t.command("functions", "load", path)[0], 1)
    t.redis_server.kill()
    equal(t.command("functions", "load", path)[0], 69)


def test_show_prints_the_source_and_usage_is_checked(t):
    equal(t.command("functions", "show")[:2], (0, SOURCE))
    for words in (["functions", "show", "x"], ["functions", "load"], ["functions", "lod", "x"], ["functions"]):
        equal(t.command(*words)[0], 2, words)


def test_the_readme_s_table_is_that_of_the_source(t):
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as readme:
        table = re.search("<!-- functions -->\n(.*?)<!-- /functions -->", readme.read(), re.S)[1]
    equal(table, "".join(line + "\n" for line in SOURCE.splitlines() if line.startswith("|")))
    for name in re.findall(r"offer\('(\w+)'", SOURCE):
        assert f"| `{name}` |" in table, name


def test_the_readme_s_words_for_redis_cli(t):
    t.redis.flushall(), Cache(t.redis)
    cli = lambda *words: subprocess.run(["redis-cli", "-p", str(t.redis_server.port), *words], capture_output=True, text=True, check=True).stdout.split("\n")
    word, token, floor = cli("FCALL", "sluice_get", "1", "user:1")[:3]
    equal((word, floor), ("LOAD", NONE))
    equal(cli("FCALL", "sluice_fill", "1", "user:1", token, "57", '{"name":"Bob"}', "600000")[0], "OK")
    equal(cli("FCALL", "sluice_get", "1", "user:1")[:2], ["HIT", '{"name":"Bob"}'])
