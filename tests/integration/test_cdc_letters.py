"""Dead letters of change events, parked and applied again; what the ways to invalidate make of images."""
import json, re
from cache_functions import HOUR, Cache, row
from change_events import ITEMS, canal, compact, debezium, dms, events, maxwell
from support import Redis, equal, text_of, wait_for


def dead(t, what, *words):
    code, out, err = t.command("dead", what, t.sluices[-1].config, *words)
    equal(code, 0, out + err)


def letters(t):
    return [(text_of(x["reason"]), text_of(x["state"])) for x in t.dead() if text_of(x["state"]) != "closed"]


def test_a_parked_change_of_a_key_holds_both_rows_and_replays_in_order(t):
    t.sql(ITEMS)
    stream = events(t, "debezium", config={"tables": {"items": {"on_poison": "park", "invalidate": ["item:{id}"]}}})
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1}))
    compact(t, stream, {"id": 2}, debezium("items", "u", {"id": 1, "n": 1, "extra": 0}, {"id": 2, "n": 1, "extra": 7}))
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 5}))
    compact(t, stream, {"id": 2}, debezium("items", "u", {"id": 2, "n": 1}, {"id": 2, "n": 2}))
    compact(t, stream, {"id": 3}, debezium("items", "c", after={"id": 3, "n": 3}))
    t.settle()
    equal(letters(t), [("unknown_column", "parked"), ("parked", "parked"), ("parked", "parked")])
    equal(t.sql("SELECT id, n FROM items ORDER BY id"), ((1, 1), (3, 3)))
    for key in (1, 2, 3):
        t.redis.set(f"item:{key}", "old")
    t.sql("ALTER TABLE items ADD extra INT")
    dead(t, "replay", "--reason", "unknown_column")
    wait_for("all letters are applied", lambda: not letters(t))
    equal(t.sql("SELECT id, n, extra FROM items ORDER BY id"), ((1, 5, None), (2, 2, 7), (3, 3, None)))
    equal(t.row("SELECT COUNT(*) FROM sluice_parked"), (0,))
    wait_for("the keys of both rows are gone", lambda: not t.redis.exists("item:1", "item:2"))
    equal(t.redis.exists("item:3"), 1)


def test_a_truncate_holds_its_table_until_it_is_dropped(t):
    t.sql(ITEMS), t.sql("CREATE TABLE notes (id INT PRIMARY KEY)")
    stream = events(t, "debezium", "items", "notes", config={"tables": {"items": {"on_poison": "park"}, "notes": {}}})
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1}))
    compact(t, stream, None, json.dumps({"op": "t", "source": {"db": "shop", "table": "items"}}))
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 2}))
    compact(t, stream, {"id": 9}, debezium("items", "c", after={"id": 9, "n": 9}))
    compact(t, stream, {"id": 1}, debezium("notes", "c", after={"id": 1}))
    t.settle()
    equal(letters(t), [("truncate", "parked"), ("parked", "parked"), ("parked", "parked")])
    equal((t.sql("SELECT id, n FROM items"), t.sql("SELECT id FROM notes")), (((1, 1),), ((1,),)))
    t.sql("DELETE FROM items")
    dead(t, "drop", "--reason", "truncate")
    wait_for("what came behind is applied", lambda: not letters(t))
    equal(t.sql("SELECT id, n FROM items ORDER BY id"), ((1, 2), (9, 9)))
    equal(t.row("SELECT COUNT(*) FROM sluice_parked"), (0,))


def test_a_dropped_database_holds_all_its_tables(t):
    t.sql(ITEMS), t.sql("CREATE TABLE notes (id INT PRIMARY KEY)")
    stream = events(t, "maxwell", "shop.items", "shop.notes", config={"tables": {"items": {"on_poison": "park"}, "notes": {"on_poison": "park"}}})
    t.redis.xadd(stream, {"message": json.dumps({"database": "shop", "type": "database-drop", "ts": 1})})
    t.redis.xadd(stream, {"message": maxwell("items", "insert", {"id": 1, "n": 1})})
    t.redis.xadd(stream, {"message": maxwell("notes", "insert", {"id": 1})})
    t.settle()
    equal(t.reasons(), ["parked", "parked", "truncate"])
    dead(t, "drop", "--reason", "truncate")
    wait_for("both tables go on", lambda: (t.sql("SELECT id FROM items"), t.sql("SELECT id FROM notes")) == (((1,),), ((1,),)))


def test_letters_of_every_format_are_applied_again(t):
    t.sql(ITEMS)
    streams = {name: f"{t.prefix}:{name}" for name in ("debezium", "maxwell", "canal", "dms")}
    t.sluice(sources=[{"streams": stream, "format": name, "tables": ["items"]} for name, stream in streams.items()], tables={"items": {}})
    compact(t, streams["debezium"], {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1, "extra": 1}))
    t.redis.xadd(streams["maxwell"], {"message": maxwell("items", "insert", {"id": 2, "n": 2, "extra": 2})})
    t.redis.xadd(streams["canal"], {"data": canal("items", "INSERT", [{"id": 3, "n": 3, "extra": 3}, {"id": 4, "n": 4, "extra": 4}])})
    t.redis.xadd(streams["dms"], {"record": dms("items", "insert", {"id": 5, "n": 5, "extra": 5})})
    t.settle()
    equal(t.reasons(), ["unknown_column"] * 4)
    t.sql("ALTER TABLE items ADD extra INT")
    dead(t, "replay", "--all")
    wait_for("all letters are applied", lambda: not letters(t))
    equal(t.sql("SELECT id, n, extra FROM items ORDER BY id"), tuple((n, n, n) for n in range(1, 6)))


def test_a_skipped_letter_with_a_version_wants_force_where_events_came_behind_it(t):
    t.sql(ITEMS)
    stream = events(t, "maxwell", config={"tables": {"items": {"version": "ver"}}})
    add = lambda kind, image: t.redis.xadd(stream, {"message": maxwell("items", kind, image)})
    add("insert", {"id": 1, "n": 1, "ver": 5, "extra": 1})
    t.settle()
    add("insert", {"id": 1, "n": 2, "ver": 5})  # the same version, and newer
    t.settle()
    t.sql("ALTER TABLE items ADD extra INT")
    dead(t, "replay", "--all")
    wait_for("it is refused", lambda: t.dead()[0]["attempts"] == 1)
    assert "--force" in t.dead()[0]["message"], t.dead()
    add("update", {"id": 1, "n": 3, "ver": 6})
    t.settle()
    dead(t, "replay", "--all", "--force")
    wait_for("it is applied", lambda: not letters(t))
    equal(t.row("SELECT n, ver, extra FROM items"), (3, 6, None))


def test_a_letter_whose_table_is_no_longer_listed_stays(t):
    t.sql(ITEMS), t.sql("CREATE TABLE notes (id INT PRIMARY KEY)")
    stream = events(t, "debezium", "items", "notes")
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "extra": 1}))
    t.settle()
    t.sluices[-1].stop()
    t.sql("ALTER TABLE items ADD extra INT")
    t.sluice(sources=[{"streams": stream, "format": "debezium", "tables": ["notes"]}], tables={"notes": {}})
    dead(t, "replay", "--all")
    wait_for("it is refused", lambda: t.dead()[0]["attempts"] == 1)
    equal(letters(t), [("unknown_table", "dead")])


def test_versioned_entries_are_told_the_version_in_the_image(t):
    t.sql(ITEMS)
    server = Redis(t.dir).up()
    t.own.append(server)
    stream = events(t, "debezium", config={"cache": {"url": server.url}, "tables": {"items": {"version": "ver", "invalidate": [
        {"key": "item:{id}", "mode": "versioned"}, {"key": "name:{id}", "mode": "versioned", "when": ["name"]},
        {"key": "code:{code}", "mode": "generation"}]}}})
    old = {"id": 1, "name": "n", "code": "a", "n": 1, "ver": 1}
    compact(t, stream, {"id": 1}, debezium("items", "c", after=old))
    t.settle()
    cache, client = Cache(server.client(), load=False), server.client()
    numbers = lambda: {code: int(client.fcall("sluice_generation", 1, f"code:{code}")) for code in "abc"}
    cache.filled("item:1", 1, "v1"), cache.filled("name:1", 1, "n1")
    before = numbers()
    compact(t, stream, {"id": 1}, debezium("items", "u", old, {**old, "code": "b", "ver": 2}))
    t.settle()
    token, floor = cache.load("item:1")
    equal(floor, row(2))
    equal(cache.fill("item:1", token, 1, "v1", HOUR), "OLD")
    equal(cache.get("name:1")[:2], ["HIT", "n1"])
    after = numbers()
    equal({code: after[code] > before[code] for code in "abc"}, {"a": True, "b": True, "c": False})
    cache.filled("item:1", 2, "v2")
    # somebody left the version as it was: nothing is as new as that
    compact(t, stream, {"id": 1}, debezium("items", "u", {**old, "code": "b", "ver": 2}, {**old, "code": "b", "name": "m", "ver": 2}))
    t.settle()
    assert cache.get("item:1")[0] != "HIT" and cache.get("name:1")[0] != "HIT"


def test_tags_and_the_number_of_a_table_obey_when(t):
    t.sql(ITEMS)
    server = Redis(t.dir).up()
    t.own.append(server)
    server.allow("page:*")
    stream = events(t, "debezium", config={"cache": {"url": server.url}, "tables": {"items": {"invalidate": [
        {"key": "tag:{code}", "mode": "tag"}, {"key": "items:names", "mode": "table", "when": ["name"]}]}}})
    old = {"id": 1, "name": "n", "code": "a", "n": 1, "ver": None}
    compact(t, stream, {"id": 1}, debezium("items", "c", after=old))
    t.settle()
    client = server.client()
    number = lambda: int(client.fcall("sluice_generation", 1, "items:names"))
    for code in "abc":
        client.set(f"page:{code}", "old"), client.sadd(f"tag:{code}", f"page:{code}")
    before = number()
    compact(t, stream, {"id": 1}, debezium("items", "u", old, {**old, "code": "b"}))
    t.settle()
    equal([client.scard(f"tag:{code}") for code in "abc"], [0, 0, 1])
    equal(number(), before)
    compact(t, stream, {"id": 1}, debezium("items", "u", {**old, "code": "b"}, {**old, "code": "b", "name": "m"}))
    t.settle()
    assert number() > before


def test_check_refuses_versioned_keys_of_other_columns(t):
    t.sql(ITEMS)
    path = t.write_config(sources=[{"streams": t.prefix, "format": "debezium", "tables": ["items"]}], tables={"items": {
        "version": "ver", "invalidate": [{"key": "item:{id}", "mode": "versioned"}, {"key": "item:{id}:{code}", "mode": "versioned"}]}})
    code, _, err = t.command("check", path, "--connect")
    equal(code, 78)
    assert re.search(r"item:\{id\}:\{code\}.*primary key alone", err), err
