"""Change events in Redis streams: Debezium Server's layouts, Maxwell's, Canal's and DMS' JSON in one field."""
import base64, decimal, json, random
from change_events import ITEMS, canal, compact, debezium, dms, events, extended, maxwell
from support import equal, limit, text_of, wait_for


def b64(data):
    return base64.b64encode(data).decode()


def signed(number):
    return b64(number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


# --- types

TYPES = """CREATE TABLE kinds (id BIGINT UNSIGNED PRIMARY KEY, i INT, u BIGINT UNSIGNED, d DECIMAL(65,30), d0 DECIMAL(20,0), f DOUBLE,
           t TEXT CHARACTER SET utf8mb4, b LONGBLOB, day DATE, at DATETIME, at3 DATETIME(3), at6 TIMESTAMP(6) NULL, c TIME(6), y YEAR, x BIT(9),
           one BIT(1), e ENUM('red','blue'), s SET('a','b'), j JSON, g POINT)"""
BIG = decimal.Decimal("-99999999999999999999999999999999999.999999999999999999999999999999")
UNSCALED = int(BIG.scaleb(30, decimal.Context(prec=80)))
WKB = bytes.fromhex("0101000000000000000000f03f0000000000000040")
TEXT = "Grüße 😀 'quoted' \\ \0 end"


def kinds_row(t, key):
    return t.row("SELECT i, u, d, d0, f, t, b, CAST(day AS CHAR), CAST(at AS CHAR), CAST(at3 AS CHAR), CAST(at6 AS CHAR), CAST(c AS CHAR), y, "
                 "x + 0, one + 0, e, s, JSON_EXTRACT(j, '$.k'), ST_AsText(g) FROM kinds WHERE id = %s", (key,))


WANT = (-7, 2**64 - 1, BIG, decimal.Decimal(2**53 + 1), 1e-5, TEXT, b"\0\xff" * 5, "2020-07-17", "2020-07-17 18:00:22", "2020-07-17 18:00:22.123",
        "2020-07-17 18:00:22.123456", "-838:59:58.500000", 2021, 511, 1, "red", "a,b", "9007199254740993", "POINT(1 2)")


def untyped(key, **more):
    return {"id": signed(key), "i": -7, "u": signed(2**64 - 1), "d": signed(UNSCALED), "d0": signed(2**53 + 1), "f": 1e-5, "t": TEXT,
            "b": b64(b"\0\xff" * 5), "day": 18460, "at": 1595008822000, "at3": 1595008822123, "at6": "2020-07-17T18:00:22.123456Z",
            "c": -3020398500000, "y": 2021, "x": b64(b"\xff\x01"), "one": True, "e": "red", "s": "a,b", "j": '{"k":9007199254740993}',
            "g": {"x": 1.0, "y": 2.0, "wkb": b64(WKB), "srid": None}, **more}


def typed_schema():
    decimal_type = lambda scale: {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": str(scale)}}
    debezium_type = lambda kind, name: {"type": kind, "name": "io.debezium." + name}
    types = {"id": decimal_type(0), "i": {"type": "int32"}, "u": decimal_type(0), "d": decimal_type(30), "d0": decimal_type(0),
             "f": {"type": "double"}, "t": {"type": "string"}, "b": {"type": "bytes"}, "day": debezium_type("int32", "time.Date"),
             "at": debezium_type("int64", "time.Timestamp"), "at3": debezium_type("int64", "time.Timestamp"),
             "at6": debezium_type("string", "time.ZonedTimestamp"), "c": debezium_type("int64", "time.MicroTime"),
             "y": debezium_type("int32", "time.Year"), "x": debezium_type("bytes", "data.Bits"), "one": {"type": "boolean"},
             "e": debezium_type("string", "data.Enum"), "s": debezium_type("string", "data.EnumSet"), "j": debezium_type("string", "data.Json"),
             "g": debezium_type("struct", "data.geometry.Point")}
    row = {"type": "struct", "fields": [{**kind, "field": name} for name, kind in types.items()]}
    return {"type": "struct", "fields": [{**row, "field": "before"}, {**row, "field": "after"}]}


def test_every_type_arrives_exactly_with_and_without_its_schema(t):
    t.sql(TYPES)
    stream = events(t, "debezium", "kinds")
    compact(t, stream, {"id": signed(1)}, debezium("kinds", "c", after=untyped(1)))
    extended(t, stream, {"id": signed(2)}, debezium("kinds", "c", after=untyped(2), schema=typed_schema()))
    # long mode, numbers as numbers, and -1 for 2^64-1
    raw = debezium("kinds", "c", after=untyped(3, id=-2, u=-1, d="DECIMAL", d0=2**53 + 1)).replace('"DECIMAL"', str(BIG))
    compact(t, stream, {"id": -2}, raw)
    t.settle()
    equal(t.reasons(), [])
    for key in (1, 2, 2**64 - 2):
        equal(kinds_row(t, key), WANT, f"row {key}")


def test_maxwell_canal_and_dms_values_arrive_exactly(t):
    t.sql(TYPES)
    row = {"i": -7, "u": 2**64 - 1, "d0": 2**53 + 1, "f": 1e-5, "t": TEXT, "day": "2020-07-17", "at": "2020-07-17 18:00:22",
           "at3": "2020-07-17 18:00:22.123", "at6": "2020-07-17 18:00:22.123456", "c": "-838:59:58.500000", "y": 2021, "x": 511, "one": 1, "e": "red",
           "s": "a,b"}
    streams = {name: f"{t.prefix}:{name}" for name in ("maxwell", "canal", "dms")}
    t.sluice(sources=[{"streams": stream, "format": name, "tables": ["kinds"]} for name, stream in streams.items()], tables={"kinds": {}})
    plain = lambda text: text.replace('"DECIMAL"', str(BIG))
    t.redis.xadd(streams["maxwell"], {"message": plain(maxwell("kinds", "insert", {"id": 1, **row, "d": "DECIMAL", "b": b64(b"\0\xff" * 5),
                                                                                     "s": ["a", "b"], "j": {"k": 2**53 + 1}}))})
    t.redis.xadd(streams["canal"], {"data": canal("kinds", "INSERT", [{"id": 2, **row, "d": BIG, "b": (b"\0\xff" * 5).decode("latin1"),
                                                                         "j": '{"k":9007199254740993}'}])})
    t.redis.xadd(streams["dms"], {"record": plain(dms("kinds", "insert", {"id": 3, **row, "d": "DECIMAL", "b": b64(b"\0\xff" * 5),
                                                                           "j": '{"k":9007199254740993}'}))})
    t.settle()
    equal(t.reasons(), [])
    for key in (1, 2, 3):
        equal(kinds_row(t, key), WANT[:-1] + (None,), f"row {key}")


# --- meaning

class Model:
    """A source's table that walks at random; every step is answered as (kind, before, after)."""
    def __init__(self, seed, keys):
        self.random, self.keys, self.rows, self.codes = random.Random(seed), keys, {}, 0

    def row(self, key):
        n, self.codes = self.random.randrange(-2**31, 2**31), self.codes + 1
        return {"id": key, "name": self.random.choice(["a", "ü😀", "", None]), "code": f"code {self.codes}", "n": n, "ver": None}

    def step(self):
        key, roll = self.random.randrange(self.keys), self.random.random()
        before = self.rows.get(key)
        if before is None:
            self.rows[key] = self.row(key)
            return "c", None, self.rows[key]
        if roll < 0.2:
            return "d", self.rows.pop(key), None
        if roll < 0.4 and (free := [k for k in range(2 * self.keys) if k not in self.rows]):
            moved = {**self.rows.pop(key), "id": self.random.choice(free)}  # its unique code goes with it
            self.rows[moved["id"]] = moved
            return "u", before, moved
        self.rows[key] = {**before, **{c: v for c, v in self.row(key).items() if c in self.random.sample(["name", "n"], 1)}}
        return "u", before, self.rows[key]

    def table(self):
        return sorted((r["id"], r["name"], r["code"], r["n"], r["ver"]) for r in self.rows.values())


def as_debezium(kind, before, after):
    """Entries of the compact layout: a change of the key is a delete, a tombstone and a create."""
    if kind == "u" and before["id"] != after["id"]:
        return as_debezium("d", before, None) + as_debezium("c", None, after)
    entries = [{json.dumps({"id": (after or before)["id"]}): debezium("items", kind, before, after)}]
    return entries + [{json.dumps({"id": before["id"]}): "default"}] if kind == "d" else entries


def as_maxwell(kind, before, after):
    name = {"c": "insert", "u": "update", "d": "delete"}[kind]
    old = {c: v for c, v in before.items() if after[c] != v} if kind == "u" else None
    return [{"message": maxwell("items", name, after or before, old)}]


def as_canal(kind, before, after):
    name = {"c": "INSERT", "u": "UPDATE", "d": "DELETE"}[kind]
    old = {c: v for c, v in before.items() if after[c] != v} if kind == "u" else None
    return [{"m": canal("items", name, [after or before], [old] if kind == "u" else None)}]


def as_dms(kind, before, after):
    name = {"c": "insert", "u": "update", "d": "delete"}[kind]
    return [{"m": dms("items", name, after or before, before if kind == "u" else None)}]


def replicate(t, fmt, write, empty_is_null=False):
    t.sql(ITEMS)
    stream, model = events(t, fmt), Model(fmt, 12)
    for _ in range(4):
        t.add_many((stream, entry) for _ in range(300) for entry in write(*model.step()))
        t.sluices[-1].kill()
        t.sluices[-1].start()
    t.settle()
    equal(t.reasons(), [])
    want = [row[:1] + (row[1] or None if empty_is_null else row[1],) + row[2:] for row in model.table()]
    equal(sorted(t.sql("SELECT id, name, code, n, ver FROM items")), want)


def test_debezium_makes_a_replica_through_kills(t):
    replicate(t, "debezium", as_debezium)


def test_maxwell_makes_a_replica_through_kills(t):
    replicate(t, "maxwell", as_maxwell)


def test_canal_makes_a_replica_through_kills(t):
    replicate(t, "canal", as_canal)


def test_dms_makes_a_replica_through_kills(t):
    replicate(t, "dms", as_dms, empty_is_null=True)


def test_several_rows_of_a_canal_message_commit_together(t):
    t.sql(ITEMS)
    stream = events(t, "canal")
    t.redis.xadd(stream, {"m": canal("items", "INSERT", [{"id": 1, "n": 1}, {"id": 2, "n": "no number"}])})
    t.redis.xadd(stream, {"m": canal("items", "INSERT", [{"id": 3, "n": 3}, {"id": 4, "n": 4}])})
    t.settle()
    equal(t.reasons(), ["bad_value"])
    equal([row[0] for row in t.sql("SELECT id FROM items ORDER BY id")], [3, 4])


def test_a_flattened_rows_tombstone_deletes_where_asked_to(t):
    t.sql(ITEMS)
    stream = events(t, "debezium", tombstones="delete", table="items")
    for key in (1, 2, 3):
        compact(t, stream, {"id": key}, json.dumps({"id": key, "name": "x", "__deleted": "false"}))
    compact(t, stream, {"id": 1}, "default")
    compact(t, stream, {"id": 2}, json.dumps({"id": 2, "name": None, "__deleted": "true"}))
    t.settle()
    equal(t.reasons(), [])
    equal([row[0] for row in t.sql("SELECT id FROM items")], [3])


# --- versions

def test_old_events_never_make_a_row_older(t):
    t.sql(ITEMS)
    stream = events(t, "debezium", config={"tables": {"items": {"version": "ver"}}})
    row = lambda n, ver: {"id": 1, "name": None, "n": n, "ver": ver}

    def after(*changes):
        for kind, before, image in changes:
            compact(t, stream, {"id": 1}, debezium("items", kind, before, image))
        t.settle()
        return t.row("SELECT n, ver FROM items")
    equal(after(("c", None, row(1, 5))), (1, 5))
    equal(after(("u", None, row(2, 4))), (1, 5), "an older image applied")
    equal(after(("u", None, row(3, 5))), (3, 5), "an image of the same version did not apply")
    equal(after(("d", row(0, 4), None)), (3, 5), "the deletion of an older row applied")
    equal(after(("u", None, row(4, 7)), ("u", None, row(5, 6)), ("u", None, row(6, 7))), (6, 7))
    equal(after(("u", None, row(7, None))), (7, None), "no version did not apply")
    equal(after(("u", None, row(8, 2))), (8, 2))
    equal(after(("d", row(8, 2), None)), None, "the deletion of the row did not apply")
    equal(t.reasons(), [])
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1}))
    t.settle()
    equal(t.reasons(), ["bad_version"])


@limit(120)
def test_events_folded_and_one_after_the_other_make_the_same_table(t):
    """The law of the fold, for images: partial ones, equal, older and missing versions, changes of keys."""
    for name in ("folded", "single", "folded_v", "single_v"):
        t.sql(ITEMS.replace("items", name).replace(" UNIQUE", ""))  # what other rows refuse may differ
    stream = events(t, "maxwell", "folded", "single", "folded_v", "single_v", config={"tables": {
        "single": {"fold": False}, "folded_v": {"version": "ver"}, "single_v": {"fold": False, "version": "ver"}}, "batch": {"max_delay": "100ms"}})
    rand = random.Random(4711)
    entries = []
    for _ in range(1500):
        key, kind = rand.randrange(120), rand.choice(["insert", "update", "update", "update", "delete"])
        data = {"id": key, "ver": rand.choice([None] + list(range(3)) * 4)}
        data.update({c: v for c, v in (("name", rand.choice("abc")), ("n", rand.randrange(9)), ("code", str(rand.randrange(400))))
                     if rand.random() < 0.6})
        old = {"id": rand.randrange(120)} if kind == "update" and rand.random() < 0.01 else {}
        for suffix in ("", "_v"):
            for table in ("folded", "single"):
                entries.append({"message": maxwell(table + suffix, kind, data, old)})
    t.add_many((stream, entry) for entry in entries)
    t.settle(60)
    for suffix in ("", "_v"):
        equal(sorted(t.sql(f"SELECT * FROM folded{suffix}")), sorted(t.sql(f"SELECT * FROM single{suffix}")))
    assert t.sluices[-1].metric("sluice_folded_total") > 50


# --- everything else

def test_what_is_no_change_is_passed_over_and_counted(t):
    t.sql(ITEMS)
    stream = events(t, "debezium", snapshot="ignore")
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "name": "kept"}))
    compact(t, stream, {"id": 1}, "default")
    compact(t, stream, {"serverName": "s"}, json.dumps({"ts_ms": 1}))
    compact(t, stream, {"id": "x"}, json.dumps({"status": "BEGIN", "id": "x", "ts_ms": 1, "event_count": None, "data_collections": None}))
    compact(t, stream, {"databaseName": "shop"}, json.dumps({"source": {"db": "shop"}, "databaseName": "shop", "ddl": "ALTER TABLE x"}))
    compact(t, stream, {"id": 2}, debezium("items", "r", after={"id": 2}, snapshot="incremental"))
    compact(t, stream, {"id": 3}, debezium("orders", "c", after={"id": 3}))
    t.settle()
    equal(t.reasons(), [])
    equal(t.sql("SELECT id, name FROM items"), ((1, "kept"),))
    for kind in ("tombstone", "heartbeat", "transaction", "schema", "snapshot", "unlisted"):
        equal(t.sluices[-1].metric("sluice_events_passed_total", kind=kind), 1, kind)
    t.sluices[-1].logged("event=event_of_unlisted_table")


def truncate(t, stream, table="items", op="t"):
    compact(t, stream, None, json.dumps({"op": op, "source": {"db": "shop", "table": table}}))


def test_a_truncated_table_is_emptied_in_its_place_where_that_is_allowed(t):
    """Changes before and behind it in one batch; the table's generation is raised, its rows' keys can't be named."""
    t.sql(ITEMS), t.sql("CREATE TABLE notes (id INT PRIMARY KEY)")
    stream = events(t, "debezium", "items", "notes", truncate="allow", config={
        "tables": {"items": {"invalidate": ["item:{id}", {"key": "items:all", "mode": "table"}, "code:{code}"]}, "notes": {}},
        "batch": {"max_delay": "200ms"}})
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1, "code": "a"}))
    compact(t, stream, {"id": 1}, debezium("notes", "c", after={"id": 1}))
    t.settle()
    t.redis.set("item:1", "old"), t.redis.set("items:all", 5)
    compact(t, stream, {"id": 2}, debezium("items", "c", after={"id": 2, "n": 2, "code": "b"}))
    truncate(t, stream)
    compact(t, stream, {"id": 2}, debezium("items", "c", after={"id": 2, "n": 22, "code": "c"}))
    compact(t, stream, {"id": 3}, debezium("items", "c", after={"id": 3, "n": 3, "code": None}))
    t.settle()
    equal(t.reasons(), [])
    equal((t.sql("SELECT id, n FROM items ORDER BY id"), t.sql("SELECT id FROM notes")), (((2, 22), (3, 3)), ((1,),)))
    assert int(t.redis.get("items:all")) > 5
    equal(t.redis.exists("item:1"), 1)
    t.sluices[-1].logged("event=table_emptied", "table=items", "generation is raised")


def test_a_table_of_two_lanes_is_not_emptied(t):
    t.sql(ITEMS)
    streams = [f"{t.prefix}:l:0", f"{t.prefix}:l:1"]
    t.sluice(sources=[{"streams": t.prefix + ":l:{0..1}", "format": "debezium", "tables": ["items"], "truncate": "allow"}], tables={"items": {}})
    compact(t, streams[0], {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1}))
    t.settle()
    truncate(t, streams[0])
    t.settle()
    equal(t.reasons(), ["truncate"])
    assert "2 lanes" in t.dead()[0]["message"] and "source of its own" in t.dead()[0]["message"]
    equal(t.row("SELECT COUNT(*) FROM items"), (1,))


def test_a_truncate_that_was_refused_is_done_by_a_replay_once_it_is_allowed(t):
    t.sql(ITEMS), t.sql("CREATE TABLE parts (id INT PRIMARY KEY, item BIGINT UNSIGNED NOT NULL, FOREIGN KEY (item) REFERENCES items (id))")
    stream = events(t, "debezium", truncate="allow", config={"tables": {"items": {"on_poison": "park"}}})
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 1}))
    t.settle()
    t.sql("INSERT INTO parts VALUES (1, 1)")
    truncate(t, stream)
    compact(t, stream, {"id": 2}, debezium("items", "c", after={"id": 2, "n": 2}))
    t.settle()
    equal(sorted(t.reasons()), ["foreign_key", "parked"])
    t.sql("DELETE FROM parts")
    equal(t.command("dead", "replay", t.sluices[-1].argv[-1], "--all")[0], 0)
    wait_for("emptied, then filled", lambda: t.sql("SELECT id, n FROM items") == ((2, 2),))


def test_a_truncated_table_is_a_dead_letter_and_stays(t):
    t.sql(ITEMS)
    stream = events(t, "debezium")
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1}))
    compact(t, stream, None, json.dumps({"op": "t", "source": {"db": "shop", "table": "items"}}))
    t.settle()
    equal(t.reasons(), ["truncate"])
    equal(t.row("SELECT COUNT(*) FROM items"), (1,))


def test_a_wrong_format_is_said_at_the_first_event(t):
    t.sql(ITEMS)
    stream = events(t, "debezium")
    entry = text_of(t.redis.xadd(stream, {"message": maxwell("items", "insert", {"id": 1})}))
    t.redis.xadd(stream, {"k": b"\0\0\0\0\1avro"})
    t.settle()
    equal(t.reasons(), ["wrong_format", "wrong_format"])
    t.sluices[-1].logged("event=dead_letter", f"/{stream}", entry, "like maxwell", "format to maxwell")
    t.sluices[-1].logged("event=dead_letter", "Avro or Protobuf", "JsonConverter")


def test_an_events_table_is_found_as_db_and_table_and_columns_are_mapped(t):
    t.sql("CREATE TABLE people (id INT PRIMARY KEY, email VARCHAR(64), origin VARCHAR(16))")
    stream = events(t, "maxwell", "crm.people", config={"tables": {"people": {
        "columns": {"mail": "email"}, "ignore": ["secret"], "set": {"origin": "crm"}}}})
    for db in ("crm", "test"):
        t.redis.xadd(stream, {"message": maxwell("people", "insert", {"id": 1, "mail": db + "@x", "secret": "s"}, db=db)})
    t.redis.xadd(stream, {"message": maxwell("people", "insert", {"id": 2, "nosuch": 1}, db="crm")})
    t.settle()
    equal(t.sql("SELECT * FROM people"), ((1, "crm@x", "crm"),))
    equal(t.reasons(), ["unknown_column"])


def test_a_bad_event_among_good_ones_harms_none(t):
    t.sql(ITEMS)
    stream = events(t, "debezium")
    for key in range(20):
        compact(t, stream, {"id": key}, debezium("items", "c", after={"id": key, "n": key if key != 7 else "x", "code": str(key // 2 * 2 if key == 11 else key)}))
    compact(t, stream, {"id": 30}, '{"op": "c", "after": {"id": 30')
    compact(t, stream, {"id": 31}, debezium("items", "u", before={"id": 31}))
    t.settle()
    equal(t.reasons(), ["bad_event", "bad_json", "bad_value", "duplicate"])
    equal(t.row("SELECT COUNT(*) FROM items"), (18,))


def test_keys_before_and_after_a_change_of_the_key_are_deleted(t):
    t.sql(ITEMS)
    stream = events(t, "maxwell", config={"tables": {"items": {"invalidate": ["item:{id}"]}}})
    t.redis.xadd(stream, {"message": maxwell("items", "insert", {"id": 1, "n": 1})})
    t.settle()
    for key in (1, 2, 3):
        t.redis.set(f"item:{key}", "old")
    t.redis.xadd(stream, {"message": maxwell("items", "update", {"id": 2, "n": 1}, {"id": 1})})
    wait_for("both keys are gone", lambda: not t.redis.exists("item:1", "item:2"))
    equal(t.redis.exists("item:3"), 1)
    equal(t.sql("SELECT id FROM items"), ((2,),))


def test_keys_from_images_are_deleted_for_both_groups_and_only_when_asked(t):
    t.sql(ITEMS)
    stream = events(t, "debezium", config={"tables": {"items": {"invalidate": [
        "item:{id}", "code:{code}", {"key": "named:{id}", "when": ["name"]}]}}})
    old = {"id": 1, "name": "n", "code": "a", "n": 1, "ver": None}
    compact(t, stream, {"id": 1}, debezium("items", "c", after=old))
    t.settle()
    for key in ("item:1", "code:a", "code:b", "code:c", "named:1"):
        t.redis.set(key, "old")
    compact(t, stream, {"id": 1}, debezium("items", "u", old, {**old, "code": "b"}))
    wait_for("the keys of both groups are gone", lambda: not t.redis.exists("item:1", "code:a", "code:b"))
    t.settle()
    equal(t.redis.exists("named:1", "code:c"), 2)
    compact(t, stream, {"id": 1}, debezium("items", "u", {**old, "code": "b"}, {**old, "code": "b", "name": "m"}))
    wait_for("its column changed", lambda: not t.redis.exists("named:1"))
    compact(t, stream, {"id": 1}, debezium("items", "u", None, {**old, "code": "c"}))
    t.settle()
    equal(t.reasons(), ["missing_column"])
    equal(t.row("SELECT code, name FROM items"), ("b", "m"))


def test_check_refuses_a_column_that_the_table_lacks(t):
    t.users()
    path = t.write_config(tables={"users": {"invalidate": ["user:{name}", "user:{nmae}"]}})
    code, out, err = t.command("check", path, "--connect")
    equal(code, 78)
    assert "{nmae} is not a column" in out + err, out + err


def test_generated_columns_of_an_image_are_left_to_the_table(t):
    t.sql("CREATE TABLE items (id INT PRIMARY KEY, n INT, twice INT AS (2 * n) STORED)")
    stream = events(t, "debezium")
    compact(t, stream, {"id": 1}, debezium("items", "c", after={"id": 1, "n": 4, "twice": 8}))
    t.settle()
    equal(t.reasons(), [])
    equal(t.sql("SELECT * FROM items"), ((1, 4, 8),))
