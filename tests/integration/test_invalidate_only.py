"""Sources with write: false: change events that only invalidate cache keys, read by a consumer group, without any MySQL."""
import json, os, signal, time
from cache_functions import HOUR, Cache, deleted, row
from change_events import canal, debezium, dms, maxwell
from support import TOP, equal, limit, stays, wait_for

CDC = os.environ.get("CDC_SAMPLES") or os.path.join(os.path.dirname(TOP), "shared", "cdc")
TYPES = {"id": "bigint unsigned", "email": "varchar(128)"}


def invalidating(t, fmt="debezium", stream=None, table=None, start=True, **more):
    """A sluice without MySQL over one stream; `more` is merged into the source, `config` over all."""
    config = more.pop("config", {})
    t.key = t.prefix.replace("wb", "user") + ":{id}"
    t.events = stream or f"{t.prefix}:cdc"
    source = {"streams": t.events, "format": fmt, "write": False, "tables": ["users"], **more}
    return t.sluice(mysql=None, start=start, sources=[source], tables={"users": {"invalidate": [t.key], "types": TYPES, **(table or {})}}, **config)


def sluice_sources(t, fmt="debezium"):
    return [{"streams": t.events, "format": fmt, "write": False, "tables": ["users"]}]


def key(t, user):
    return t.key.replace("{id}", str(user))


def fill_cache(t, users):
    pipe = t.redis.pipeline(transaction=False)
    for user in users:
        pipe.set(key(t, user), "cached")
    pipe.execute()


def cached(t, users):
    users = list(users)
    return [user for user, value in zip(users, t.redis.mget([key(t, user) for user in users])) if value is not None]


def group(t, stream=None):
    groups = [g for g in t.redis.xinfo_groups(stream or t.events) if g["name"] == b"sluice-default"]
    return groups[0] if groups else None


def at_rest(t, stream=None):
    g = group(t, stream)
    return g and g["pending"] == 0 and g["last-delivered-id"] == t.redis.xinfo_stream(stream or t.events)["last-generated-id"]


def settle(t, seconds=20, stream=None):
    def settled():
        if not any(process.alive() for process in t.sluices):
            raise RuntimeError("no sluice runs any more")
        return at_rest(t, stream)
    wait_for("everything read and acknowledged", settled, seconds)


def change(t, user, **more):
    return {"value": debezium("users", "u", {"id": user, **more}, {"id": user, **more})}


def dead_stream(t):
    return [letter for letter in t.redis.xrange("sluice:default:dead") if t.prefix.encode() in letter[1][b"lane"]]


# --- formats

def test_every_format_invalidates_the_same_key(t):
    invalidating(t, start=False)
    fill_cache(t, range(1, 9))
    formats = {"debezium": change(t, 1), "maxwell": {"message": maxwell("users", "update", {"id": 2}, {"name": "x"})},
               "canal": {"data": canal("users", "UPDATE", [{"id": 3}], [{"name": "x"}])}, "dms": {"value": dms("users", "update", {"id": 4}, {"id": 4})},
               "fields": {"_op": "invalidate", "id": "5"}, "json": {"value": '{"_op": "invalidate", "id": 6}'}}
    sources = [{"streams": f"{t.prefix}:{name}", "format": name, "write": False,
                **({"table": "users"} if name in ("fields", "json") else {"tables": ["users"]})} for name in formats]
    t.sluice(mysql=None, sources=sources, tables={"users": {"invalidate": [t.key], "types": TYPES}}, workers=2)
    for name, entry in formats.items():
        t.redis.xadd(f"{t.prefix}:{name}", entry)
    wait_for("the keys of all formats gone", lambda: cached(t, range(1, 9)) == [7, 8])
    for name in formats:
        settle(t, stream=f"{t.prefix}:{name}")
    equal(dead_stream(t), [], "dead letters")


def test_types_come_from_the_schema_block_and_are_asked_for_where_they_are_missing(t):
    sluice = invalidating(t, table={"types": None, "invalidate": [t.prefix.replace("wb", "user") + ":{id}"]})
    schema = {"type": "struct", "fields": [{"field": side, "type": "struct", "fields": [{"field": "id", "type": "int64"}]} for side in ("before", "after")]}
    fill_cache(t, (1, 2))
    t.redis.xadd(t.events, {"value": debezium("users", "u", {"id": 1}, {"id": 1}, schema=schema)})
    t.redis.xadd(t.events, change(t, 2))
    settle(t)
    equal(cached(t, (1, 2)), [2])
    letter = dead_stream(t)[0][1]
    assert b"`types`" in letter[b"message"] and letter[b"lane"].endswith(t.events.encode()), letter
    assert letter[b"entry"] == t.redis.xrevrange(t.events, count=1)[0][0], letter
    equal(json.loads(letter[b"payload"])[0][0], "value", "the entry as it was delivered")
    wait_for("the letter in the metrics", lambda: sluice.metric("sluice_dead_letters_total", reason="bad_value") == 1)


# --- nothing is lost

@limit(120)
def test_entries_of_a_killed_process_are_taken_over(t):
    first = invalidating(t, claim_after="1s", config={"batch": {"max_rows": 50}})
    second = t.sluice(first.config)
    fill_cache(t, range(3000))
    t.add_many((t.events, change(t, user)) for user in range(1500))
    wait_for("some are invalidated", lambda: len(cached(t, range(1500))) < 1400)
    first.kill()
    t.add_many((t.events, change(t, user)) for user in range(1500, 3000))
    settle(t, 40)
    equal(cached(t, range(3000)), [])
    equal(second.child.poll(), None)


@limit(120)
def test_entries_of_a_stopped_process_are_taken_over_and_it_goes_on_later(t):
    first = invalidating(t, claim_after="1s", config={"batch": {"max_rows": 50}})
    fill_cache(t, range(2000))
    t.add_many((t.events, change(t, user)) for user in range(1000))
    wait_for("some are invalidated", lambda: len(cached(t, range(1000))) < 950)
    first.signal(signal.SIGSTOP)
    second = t.sluice(first.config)
    t.add_many((t.events, change(t, user)) for user in range(1000, 2000))
    settle(t, 40)
    equal(cached(t, range(2000)), [])
    first.signal(signal.SIGCONT)
    second.stop()
    fill_cache(t, range(10))
    t.add_many((t.events, change(t, user)) for user in range(10))
    wait_for("the first one goes on", lambda: cached(t, range(10)) == [])
    settle(t, 40)


def test_two_processes_share_a_backlog(t):
    processes = [invalidating(t, start=False)]
    processes.append(t.sluice(processes[0].config, start=False))
    fill_cache(t, range(500))
    t.add_many((t.events, change(t, user % 500)) for user in range(20000))
    for process in processes:
        process.start()
    settle(t, 30)
    equal(cached(t, range(500)), [])
    # less than that would be a wait somewhere
    assert sum(process.metric("sluice_entries_total") for process in processes) >= 20000
    equal(sum(process.metric("sluice_lane_claimed_total") for process in processes), 0)


def test_names_of_processes_that_left_leave_the_group(t):
    first = invalidating(t, claim_after="1s")
    t.redis.xadd(t.events, change(t, 1))
    settle(t)
    equal(len(t.redis.xinfo_consumers(t.events, "sluice-default")), 1)
    equal(first.stop(), 0)
    equal(t.redis.xinfo_consumers(t.events, "sluice-default"), [])


def test_a_cache_that_is_away_holds_entries_pending_until_it_is_back(t):
    cache = t.own_redis()
    t.redis_server = t.servers.redis
    sluice = invalidating(t, config={"cache": {"url": cache.url}})
    cache.client().set(key(t, 1), "cached")
    t.redis.xadd(t.events, change(t, 1))
    settle(t)
    cache.kill()
    t.add_many((t.events, change(t, user)) for user in range(300))
    wait_for("they are pending", lambda: group(t)["pending"] > 0)
    stays("unacknowledged", lambda: group(t)["pending"] > 0, 0.5)
    cache.start()
    wait_for("the cache is up", lambda: cache.client().ping())
    settle(t, 30)
    equal(dead_stream(t), [])
    assert sluice.alive()


def test_a_deleted_entry_and_a_lost_group_are_named(t):
    sluice = invalidating(t, claim_after="1s", start=False)
    t.redis.xgroup_create(t.events, "sluice-default", "0", mkstream=True)
    gone = t.redis.xadd(t.events, change(t, 1))
    t.redis.xadd(t.events, change(t, 2))
    t.redis.xreadgroup("sluice-default", "dead", {t.events: ">"})
    t.redis.xdel(t.events, gone)
    fill_cache(t, (2, 3))
    sluice.start()
    sluice.logged("pending_deleted", gone.decode())
    settle(t)
    equal(cached(t, (2, 3)), [3])
    t.redis.delete(t.events)
    sluice.logged("lane_alarm", "why=gap")
    t.redis.xadd(t.events, change(t, 3))
    wait_for("it goes on", lambda: cached(t, (3,)) == [])


def test_a_key_of_another_type_holds_its_lane_and_no_other(t):
    other = f"{t.prefix}:other"
    invalidating(t, stream=[f"{t.prefix}:cdc", other])
    t.events = f"{t.prefix}:cdc"
    wait_for("the group is made", lambda: group(t) and group(t, other))
    t.redis.delete(other)
    t.redis.set(other, "text")
    fill_cache(t, (1,))
    t.redis.xadd(t.events, change(t, 1))
    wait_for("the other lane goes on", lambda: cached(t, (1,)) == [])
    wait_for("it is held", lambda: t.lane_status(other)["why"] == "wrong_type")
    t.redis.delete(other)
    t.redis.xadd(other, change(t, 2))
    settle(t, stream=other)


def test_trim_acked_trims_behind_what_every_group_has(t):
    invalidating(t, trim="acked")
    t.add_many((t.events, change(t, user)) for user in range(50))
    wait_for("trimmed to the last entry", lambda: at_rest(t) and t.redis.xlen(t.events) == 1)


def test_a_truncate_invalidates_the_keys_of_the_whole_table_and_is_told(t):
    generation = t.prefix.replace("wb", "user") + ":all"
    invalidating(t, table={"invalidate": [t.prefix.replace("wb", "user") + ":{id}", {"key": generation, "mode": "table"}]})
    t.redis.set(generation, 1)
    t.redis.xadd(t.events, {"value": debezium("users", "t")})
    wait_for("the table's generation is raised", lambda: t.redis.get(generation) != b"1")
    wait_for("it is a dead letter", lambda: [letter for letter in dead_stream(t) if letter[1][b"reason"] == b"truncate"])


# --- dead letters

def test_dead_letters_are_listed_shown_invalidated_and_dropped(t):
    sluice = invalidating(t, table={"types": None})
    fill_cache(t, range(1, 6))
    t.add_many((t.events, change(t, user, blob="\xff")) for user in range(1, 6))
    settle(t)
    equal(len(dead_stream(t)), 5)
    wait_for("the home's size in the metrics", lambda: sluice.metric("sluice_dead_letter_stream_entries") >= 5)
    sluice.stop()
    told = t.write_config(mysql=None, sources=sluice_sources(t), tables={"users": {"invalidate": [t.key], "types": TYPES}})
    code, out, err = t.command("dead", "list", told, "--lane", t.events, "--json")
    letters = [json.loads(line) for line in out.splitlines()]
    equal((code, len(letters), err), (0, 5, ""))
    first = letters[0]
    assert first["id"].startswith("s") and first["reason"] == "bad_value" and first["table"] == "users", first
    code, out, _ = t.command("dead", "show", told, first["id"], "--json")
    assert code == 0 and json.loads(out)["payload"][0][0] == "value", out
    code, out, _ = t.command("dead", "show", told, first["id"])
    assert "value = " in out, out
    equal(t.command("dead", "replay", told, "--id", first["id"], "--dry-run")[0], 0)
    equal(cached(t, range(1, 6)), [1, 2, 3, 4, 5])
    code, out, err = t.command("dead", "replay", told, "--id", first["id"])
    assert code == 0 and "1 invalidated" in out, (code, out, err)
    equal((cached(t, range(1, 6)), len(dead_stream(t))), ([2, 3, 4, 5], 4))
    # refused again: it stays
    code, out, err = t.command("dead", "replay", sluice.argv[-1], "--lane", t.events)
    assert code == 1 and "stays" in err and len(dead_stream(t)) == 4, (code, out, err)
    equal(t.command("dead", "replay", told, "--lane", t.events, "--limit", "3")[0], 0)
    equal((cached(t, range(1, 6)), len(dead_stream(t))), ([5], 1))
    code, out, _ = t.command("dead", "drop", told, "--lane", t.events)
    assert code == 0 and "1 dropped" in out, out
    equal((cached(t, range(1, 6)), dead_stream(t)), ([5], []))
    equal(t.command("dead", "list", told, "--lane", t.events)[0], 1)


def test_too_many_dead_letters_halt_the_lane_until_it_is_resumed(t):
    sluice = invalidating(t, table={"types": None}, config={"poison_rate": 5})
    t.add_many((t.events, change(t, user)) for user in range(9))
    wait_for("it halts", lambda: t.lane_state(t.events) == "halted")
    equal(len(dead_stream(t)), 5)
    assert not sluice.status()["healthy"]
    code, out, err = t.command("lane", "list", sluice.argv[-1])
    assert code == 0 and t.events in out and "9" in out, (code, out, err)
    equal(t.command("lane", "skip", sluice.argv[-1], t.events, "1-1")[0], 2)
    code, out, err = t.lane("resume", t.events)
    assert code == 0, (out, err)
    wait_for("all are dead letters", lambda: len(dead_stream(t)) == 9)
    settle(t)


def test_an_entry_too_large_to_be_held_stays_pending_with_an_alarm(t):
    invalidating(t, config={"entry_max": "4KiB"})
    fill_cache(t, (1, 2, 3))
    t.redis.xadd(t.events, change(t, 1))
    large = t.redis.xadd(t.events, change(t, 2, text="x" * 9000))
    t.redis.xadd(t.events, change(t, 3))
    wait_for("the others go on", lambda: cached(t, (1, 2, 3)) == [2])
    wait_for("an alarm", lambda: t.lane_status(t.events)["alarm"] == "entry_too_large")
    wait_for("it alone is pending", lambda: group(t)["pending"] == 1)
    equal(t.redis.xpending(t.events, "sluice-default")["min"], large)
    equal(t.lane("ack", t.events)[0], 0)
    wait_for("acknowledged", lambda: t.lane_status(t.events)["alarm"] is None)


def test_an_entry_larger_than_a_reply_may_be_harms_no_other(t):
    invalidating(t, config={"memory": "8MiB", "entry_max": "1MiB", "batch": {"max_bytes": "1MiB"}}, claim_after="1s")
    fill_cache(t, (1, 3))
    t.redis.xadd(t.events, change(t, 1))
    t.redis.xadd(t.events, change(t, 2, text="x" * 7000000))
    t.redis.xadd(t.events, change(t, 3))
    wait_for("the others go on", lambda: cached(t, (1, 3)) == [])
    wait_for("it alone is pending", lambda: group(t)["pending"] == 1)
    t.redis.xack(t.events, "sluice-default", t.redis.xpending(t.events, "sluice-default")["min"])
    settle(t)


# --- ways to invalidate

def test_every_mode_works_with_the_version_of_the_event(t):
    user = t.prefix.replace("wb", "user")
    templates = [{"key": user + ":v:{id}", "mode": "versioned"}, {"key": user + ":g:{id}", "mode": "generation"}, {"key": user + ":t:{team}", "mode": "tag"},
                 {"key": user + ":m:{email}", "when": ["email"]}]
    invalidating(t, table={"invalidate": templates, "version": "ver", "types": {**TYPES, "team": "int"}})
    client = t.redis
    client.sadd(user + ":t:7", user + ":member", user + ":t:other")
    client.set(user + ":member", "x")
    client.set(user + ":g:1", "5")
    client.mset({user + ":m:a": "x", user + ":m:b": "x", user + ":m:c": "x"})
    row = lambda ver, **more: {"id": 1, "ver": ver, "team": 7, "email": "a", **more}
    client.xadd(t.events, {"value": debezium("users", "u", row(5), row(6, name="y"))})
    settle(t)
    equal(client.hget(user + ":v:1", "version") is None and client.exists(user + ":member"), 0)
    assert int(client.get(user + ":g:1")) > 5
    equal(client.exists(user + ":m:a"), 1, "email did not change")
    client.xadd(t.events, {"value": debezium("users", "u", row(6), row(7, email="b"))})
    settle(t)
    equal(client.exists(user + ":m:a", user + ":m:b", user + ":m:c"), 1, "old and new key")
    assert t.sluices[-1].metric("sluice_invalidation_answers_total") >= 2
    equal(dead_stream(t), [])


def logged(pos, user=1, op="u", server=7, at=1000, **source):
    """An event of a binary log, as Debezium's connectors for MySQL and MariaDB write it."""
    row = {"id": user, "email": f"at {pos}"}
    event = json.loads(debezium("users", op, None if op == "c" else row, None if op == "d" else row))
    event["source"].update({"connector": "mysql", "server_id": server, "gtid": None, "file": "binlog.000003", "pos": pos, "row": 0, "ts_ms": at, **source})
    return {"value": json.dumps(event)}


def test_without_a_version_the_place_in_the_log_orders_what_is_told(t):
    invalidating(t, table={"invalidate": [{"key": t.prefix.replace("wb", "user") + ":{id}", "mode": "versioned", "marker_absent": "10m", "quarantine": "10m"}]})
    cache = Cache(t.redis, load=False)
    process = t.sluices[-1]
    answers = lambda: {word: process.metric("sluice_invalidation_answers_total", answer=word) for word in ("NEW", "SAME", "OLD")}

    def tell(*events):
        for event in events:
            t.redis.xadd(t.events, event)
            settle(t)
        return cache.hash(key(t, 1))

    def fill():
        token, floor = cache.load(key(t, 1))
        equal(cache.fill(key(t, 1), token, floor, "v", HOUR), "OK")
    place = lambda pos: row(3 * 2**32 + pos)
    equal((tell(logged(100)), answers()), ({"m": place(100), "g": "7/binlog 1000"}, {"NEW": 1, "SAME": 0, "OLD": 0}))
    fill()
    told = tell(logged(100), logged(50))
    equal((told["p"], told["r"], answers()), ("v", place(100), {"NEW": 1, "SAME": 1, "OLD": 1}))
    equal(tell(logged(200)), {"m": place(200), "g": "7/binlog 1000"})
    fill()
    equal(list(tell(logged(300, server=8))), ["q"], "another server")
    # a change of the primary key: both keys, with one place
    t.redis.xadd(t.events, {**logged(400, 5, "d"), "key": '{"id": 5}', "__debezium.newkey": '{"id": 6}'})
    t.redis.xadd(t.events, {"key": '{"id": 5}', "value": "default"})
    tell({**logged(400, 6, "c"), "key": '{"id": 6}', "__debezium.oldkey": '{"id": 5}'})
    equal((cache.hash(key(t, 5))["m"], cache.hash(key(t, 6))["m"]), (deleted(3 * 2**32 + 400), place(400)))
    # of another server, by its GTID; the log began again; nothing is told of where
    gtid = logged(1, 9, gtid="3e11fa47-71ca-11e1-9e33-c80aa9429562:57")
    tell(gtid)
    equal(cache.hash(key(t, 9)), {"m": row(57), "g": "7/3e11fa47-71ca-11e1-9e33-c80aa9429562 1000"})
    tell(logged(1, 6, at=2000), logged(1, 10, server_id=None))
    equal((list(cache.hash(key(t, 6))), list(cache.hash(key(t, 10)))), (["q"], ["q"]))
    # such tables are told of
    equal((process.status()["bounded"], json.loads(process.get("/healthz")[1])["bounded"]), (["users"], ["users"]))
    assert "\nbounded, not race-free (versioned, and no version): users\n" in t.command("status", f"127.0.0.1:{process.port()}")[1]
    equal(dead_stream(t), [])


# --- the samples

def test_the_samples_of_every_tool_are_decoded_or_kept(t):
    files = sorted(name for name in os.listdir(CDC) if name.endswith(".json")) if os.path.isdir(CDC) else []
    sources = [{"streams": f"{t.prefix}:{name}", "format": name, "write": False, "tables": ["users"]} for name in ("debezium", "maxwell", "canal", "dms")]
    invalidating(t, start=False)
    t.sluice(mysql=None, sources=sources, tables={"users": {"invalidate": [t.key], "types": TYPES}}, poison_rate=0)
    formats = {"dbz": "debezium", "flat": "debezium", "redis": "debezium", "maxwell": "maxwell", "canal": "canal", "dms": "dms"}
    for name in files:
        with open(os.path.join(CDC, name), "rb") as file:
            t.redis.xadd(f"{t.prefix}:{formats[name.split('-')[1]]}", {"value": file.read()})
    for name in ("debezium", "maxwell", "canal", "dms"):
        t.redis.xadd(f"{t.prefix}:{name}", {"value": "not json"})
        settle(t, stream=f"{t.prefix}:{name}")
    assert len(dead_stream(t)) >= 4


# --- a process that does both

def test_invalidation_goes_on_while_mysql_is_away(t):
    t.own_mysql()
    t.users()
    t.key, t.events = t.prefix.replace("wb", "user") + ":{id}", f"{t.prefix}:cdc"
    sluice = t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users"},
                               {"streams": t.events, "format": "debezium", "write": False, "tables": ["users"]}],
                      tables={"users": {"invalidate": [t.key, t.key.replace("{id}", "m:{email}")]}})  # MySQL tells the types
    mails = [t.key.replace("{id}", f"m:{mail}") for mail in "abcd"]
    t.redis.mset({mail: "cached" for mail in mails})
    t.user(1, name="Bob", email="a")
    fill_cache(t, (5,))
    t.redis.xadd(t.events, {"value": debezium("users", "u", {"id": 5, "email": "b"}, {"id": 5, "email": "c"})})
    wait_for("both work", lambda: t.row("SELECT name FROM users WHERE id = 1") == ("Bob",) and cached(t, (5,)) == [])
    wait_for("keys of other columns too", lambda: t.redis.mget(mails) == [None, None, None, b"cached"])
    t.mysql.kill()
    wait_for("mysql is away", lambda: sluice.status()["breakers"]["mysql"]["state"] != "closed")
    fill_cache(t, range(10, 20))
    t.add_many((t.events, change(t, user, email="x")) for user in range(10, 20))
    wait_for("invalidation goes on", lambda: cached(t, range(10, 20)) == [])
    settle(t)
    t.user(2, name="Eve")
    t.mysql.start()
    t.settle(40, streams=[t.stream(1), t.stream(2)])
    equal(t.row("SELECT name FROM users WHERE id = 2"), ("Eve",))
