"""A real Debezium: tables of a MariaDB with a row binlog, over Kafka Connect and Kafka, become the same tables."""
import os, random, threading
import pymysql
from debezium import Debezium
from kafka import settings
from support import equal, limit, merge, text_of, wait_for

# --- one stack for all tests

# its connectors: all types in four ways to write them
CONNECTORS = {
    # Debezium's defaults: decimals and bytes in base64, -1 for 2^64-1, times by their columns' precision
    "plain": {"signal_data_collection": "plain.signals"},
    "typed": {"value_converter_schemas_enable": "true", "key_converter_schemas_enable": "true", "topic_creation_default_partitions": "3", "bigint_unsigned_handling_mode": "precise",
              "time_precision_mode": "connect"},
    "iso": {"decimal_handling_mode": "string", "bigint_unsigned_handling_mode": "precise", "value_converter_decimal_format": "NUMERIC",
            "time_precision_mode": "isostring", "binary_handling_mode": "hex"},
    "flat": {"value_converter_schemas_enable": "true", "value_converter_decimal_format": "NUMERIC", "bigint_unsigned_handling_mode": "precise",
             "binary_handling_mode": "base64-url-safe", "time_precision_mode": "microseconds", "transforms": "unwrap",
             "transforms_unwrap_type": "io.debezium.transforms.ExtractNewRecordState",
             "transforms_unwrap_delete_tombstone_handling_mode": "rewrite"},
}
SOURCES = {"iso": {"binary": "hex"}}  # what sluice has to know of a way
KINDS = """(id BIGINT UNSIGNED PRIMARY KEY, yes TINYINT(1), i8 TINYINT, u8 TINYINT UNSIGNED, i16 SMALLINT, u16 SMALLINT UNSIGNED, i24 MEDIUMINT,
    u24 MEDIUMINT UNSIGNED, i32 INT, u32 INT UNSIGNED, i64 BIGINT, u64 BIGINT UNSIGNED, d0 DECIMAL(65,0), d30 DECIMAL(65,30), d2 DECIMAL(10,2),
    du DECIMAL(20,4) UNSIGNED, fl FLOAT, dbl DOUBLE, b1 BIT(1), b9 BIT(9), b64 BIT(64), day DATE, at0 DATETIME, at3 DATETIME(3), at6 DATETIME(6),
    c0 TIME, c6 TIME(6), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, y YEAR, ch CHAR(10), vc VARCHAR(100), tx TEXT, lt LONGTEXT,
    l1 VARCHAR(50) CHARACTER SET latin1, bi BINARY(4), vb VARBINARY(100), bl BLOB, lb LONGBLOB, e ENUM('red','blue','') , s SET('a','b','c'), j JSON,
    g POINT) CHARACTER SET utf8mb4"""
TEXT = "Grüße 😀 'quoted' \\ end\n\t\u0001"
ROWS = [
    dict(id=1),
    dict(id=2, yes=0, i8=0, u8=0, i16=0, u16=0, i24=0, u24=0, i32=0, u32=0, i64=0, u64=0, d0="0", d30="0", d2="0", du="0", fl=0, dbl=0, b1=0, b9=0,
         b64=0, day="1970-01-01", at0="1970-01-01 00:00:00", at3="1970-01-01 00:00:00", at6="1970-01-01 00:00:00", c0="0:0:0", c6="0:0:0",
         ts="1970-01-01 00:00:01", ts6="1970-01-01 00:00:01", y=1901, ch="", vc="", tx="", lt="", l1="", bi=b"", vb=b"", bl=b"", lb=b"", e="red", s="",
         j="{}"),
    dict(id=2**53 + 1, yes=1, i8=127, u8=255, i16=32767, u16=65535, i24=8388607, u24=16777215, i32=2**31 - 1, u32=2**32 - 1, i64=2**63 - 1,
         u64=2**64 - 1, d0="9" * 65, d30="9" * 35 + "." + "9" * 30, d2="99999999.99", du="9999999999999999.9999", fl=3.5e37, dbl=1.7976931348623157e308,
         b1=1, b9=511, b64=2**64 - 1, day="9999-12-31", at0="9999-12-31 23:59:59", at3="9999-12-31 23:59:59.999", at6="9999-12-31 23:59:59.999999",
         c0="23:59:59", c6="23:59:59.999999", ts="2038-01-19 03:14:07", ts6="2038-01-19 03:14:07.999999", y=2155, ch="ü" * 10, vc=TEXT, tx=TEXT * 20,
         lt="😀" * 20000, l1="Grüße ÿ", bi=b"\0\xff\0\1", vb=b"\xff\0\x80" * 30, bl=bytes(range(256)), lb=bytes(range(256)) * 400, e="blue", s="a,b,c",
         j='{"k": 9007199254740993, "s": "ü😀\\\\ \\"", "l": [1, null, 1.50]}'),
    dict(id=2**64 - 1, yes=7, i8=-128, u8=1, i16=-32768, u16=1, i24=-8388608, u24=1, i32=-2**31, u32=2**31, i64=-2**63, u64=2**63, d0="-" + "9" * 65,
         d30="-" + "9" * 35 + "." + "9" * 30, d2="-0.01", du="0.0001", fl=1.1, dbl=-5e-324, b1=1, b9=256, b64=2**63, day="1000-01-01",
         at0="1000-01-01 00:00:00", at3="1969-12-31 23:59:59.001", at6="1969-12-31 23:59:59.000001", c0="12:34:56", c6="00:00:00.000001",
         ts="2001-09-09 01:46:40", ts6="2001-09-09 01:46:40.000001", y=2026, ch="a b", vc="AQ==", tx="42", lt="null", l1="default", bi=b"\xff" * 4,
         vb=b"AQ==", bl=b"text", lb=b"", e="", s="b", j='"text"'),
    dict(id=5, c0="-838:59:59", c6="838:59:59"),
    dict(id=6, c0="24:00:00", c6="-00:00:00.000001"),
    dict(id=7, c0="-00:00:01", c6="-838:59:58.999999"),
    dict(id=10, day="0001-01-01", at0="0999-12-31 23:59:59", at6="0001-01-01 00:00:00.000001"),
    dict(id=11, e=0),
]


def insert(server, db, table, row):
    columns = ", ".join(row)
    server.sql(f"INSERT IGNORE INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(row))})", tuple(row.values()), db)


class Stack(Debezium):
    """The connectors' databases are named like them; two of them also take d_…, those of the tests."""

    def __init__(self, directory):
        super().__init__(directory)
        for name in CONNECTORS:
            self.mysql.sql(f"CREATE DATABASE {name}")
            self.mysql.sql(f"CREATE TABLE kinds_{name} {KINDS}", None, name)
            for row in ROWS[:3]:
                insert(self.mysql, name, f"kinds_{name}", row)
        self.mysql.sql("CREATE TABLE signals (id VARCHAR(42) PRIMARY KEY, type VARCHAR(32) NOT NULL, data VARCHAR(2048))", None, "plain")
        self.mysql.sql("GRANT INSERT, DELETE ON plain.signals TO debezium@'%'")
        self.ready()
        for name, more in CONNECTORS.items():
            self.add(name, f"{name},d_.*" if name in ("plain", "typed") else name, **more)
        self.connect.running(*CONNECTORS)


_stack = []


def stack(t):
    if not _stack:
        _stack.append(Stack(f"{os.path.dirname(t.dir)}/debezium.{t.name}"))  # a try that failed leaves its own
    return _stack[0]


class Replica:
    """A database of the source with its tables here, and the sluice between them."""

    def __init__(self, t, connector="plain", **ddl):
        self.t, self.connector, self.tables = t, connector, list(ddl)
        self.stack = stack(t)
        self.stack.mysql.sql(f"CREATE DATABASE {t.db}")
        for table, columns in ddl.items():
            self.source(f"CREATE TABLE {table} {columns}")
            t.sql(f"CREATE TABLE {table} {columns}")

    def source(self, statement, arguments=None):
        return self.stack.mysql.sql(statement, arguments, self.t.db)

    def config(self, source=None, tables=None, **more):
        """A source for each table: only so it is known that no other topic brings changes of it."""
        config = settings(self.t, self.stack.kafka, "none", tables=self.tables, **more)
        config["sources"] = [{"topics": f"{self.connector}.{self.t.db}.{table}", "format": "debezium", "tables": [table], **(source or {})}
                             for table in self.tables]
        return merge(config, {"tables": tables or {}})

    def run(self, source=None, **more):
        return self.t.sluice(**self.config(source, **more))

    def same(self, seconds=40):
        for table in self.tables:
            def equal_tables(table=table):
                found = difference(rows(self.stack.mysql, self.t.db, table), rows(self.t.mysql, self.t.db, table))
                if found:
                    raise ValueError(str(found)[:500])
                return True
            wait_for(f"{table} as at the source", equal_tables, seconds, 0.1)


# --- comparing

def rows(server, db, table):
    """As texts, without anything in between that could round."""
    connection = server.connect(db, conv={}, init_command="SET time_zone = '+00:00'")
    try:
        with connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
            return {text_of(next(iter(row.values()))): row for row in cursor.fetchall()}
    finally:
        connection.close()


def difference(want, got):
    """{key: {column: (the source's, ours)}}"""
    found = {}
    for key in want.keys() | got.keys():
        a, b = want.get(key), got.get(key)
        if a is None or b is None:
            found[key] = "missing here" if b is None else "missing at the source"
        elif a != b:
            found[key] = {c: (str(a.get(c))[:60], str(b.get(c))[:60]) for c in a.keys() | b.keys() if a.get(c) != b.get(c)}
    return found


# --- types

def carried(mode, row):
    """What Debezium can carry of a row: its mode `connect` has milliseconds, and both have times of a day only."""
    row = dict(row)
    for column in ("c0", "c6"):
        if mode in ("typed", "iso") and row[column] and (row[column][0] == "-" or len(row[column].split(":")[0]) > 2):
            row[column] = None
        if mode == "iso" and row[column] == "24:00:00":
            row[column] = "00:00:00"
    for column in ("at6", "c6"):
        if mode == "typed" and row[column]:
            row[column] = row[column][:-3] + "000"
    return row


@limit(180)
def test_every_type_in_every_mode_by_snapshot_and_by_binlog(t):
    source, config = stack(t).mysql, settings(t, stack(t).kafka, "none", tables=[f"kinds_{name}" for name in CONNECTORS])
    config["sources"] = []
    for name in CONNECTORS:
        t.sql(f"CREATE TABLE kinds_{name} {KINDS}")
        config["sources"].append({"topics": f"{name}.{name}.kinds_{name}", "format": "debezium", "tables": [f"kinds_{name}"], **SOURCES.get(name, {})})
    process = t.sluice(**config)

    def equal_tables(name):
        want = {key: carried(name, row) for key, row in rows(source, name, f"kinds_{name}").items()}
        found = difference(want, rows(t.mysql, t.db, f"kinds_{name}"))
        if found:
            raise ValueError(f"{name}: {found}"[:1500])
        return True
    for name in CONNECTORS:
        wait_for(f"the snapshot of {name}", lambda: equal_tables(name), 60, 0.1)
    for name in CONNECTORS:
        table = f"kinds_{name}"
        for row in ROWS[3:]:
            insert(source, name, table, row)
        source.sql(f"INSERT IGNORE INTO {table} (id, g) VALUES (20, ST_GeomFromText('POINT(1 2)')), (21, ST_GeomFromText('POINT(1 2)', 4326))", None, name)
        # every column by an update, too, to its value in another row
        columns = [column for column in ROWS[2] if column != "id"]
        source.sql(f"UPDATE {table} a, {table} b SET {', '.join(f'a.{c} = b.{c}' for c in columns)} WHERE a.id = 1 AND b.id = 9007199254740993", None, name)
        source.sql(f"DELETE FROM {table} WHERE id IN (2, 20)", None, name)
    for name in CONNECTORS:
        wait_for(f"the changes of {name}", lambda: equal_tables(name), 40, 0.1)
    equal(t.dead(), ())
    equal(t.row("SELECT COUNT(*) FROM kinds_plain"), (len(ROWS),))
    assert process.metric("sluice_events_passed_total", kind="tombstone") > 0


@limit(120)
def test_what_debezium_cannot_carry_is_null_or_a_letter(t):
    """
    Dates with a zero in them are NULL, or 1970 where they may not be NULL.  A zero TIMESTAMP comes as a second that
    no TIMESTAMP holds, a zero YEAR as 1900.
    """
    columns = "(id INT PRIMARY KEY, day DATE, at DATETIME(6), must DATE NOT NULL, y YEAR, ts TIMESTAMP NULL)"
    replica = Replica(t, zeros=columns)
    replica.run()
    connection = replica.stack.mysql.connect(t.db, init_command="SET sql_mode = ''")
    with connection.cursor() as cursor:
        cursor.execute("""INSERT INTO zeros (id, day, at, must, y, ts) VALUES
            (1, '0000-00-00', '0000-00-00', '0000-00-00', 1901, NULL), (2, '2020-00-00', '2020-02-00', '2020-02-00', 1901, NULL),
            (3, NULL, NULL, '2020-02-02', NULL, '0000-00-00'), (4, NULL, NULL, '2020-02-02', 0, NULL),
            (5, '0001-01-01', '0999-12-31 23:59:59.5', '0099-01-01', 2155, NULL)""")
    connection.close()
    wait_for("all of it", lambda: t.row("SELECT COUNT(*) FROM zeros WHERE id = 5") == (1,), 60)
    equal(t.sql("SELECT id, CAST(day AS CHAR), CAST(at AS CHAR), CAST(must AS CHAR) FROM zeros ORDER BY id"),
          ((1, None, None, "1970-01-01"), (2, None, None, "1970-01-01"), (5, "0001-01-01", "0999-12-31 23:59:59.500000", "0099-01-01")))
    equal(t.reasons(), ["bad_value", "out_of_range"])
    told = " ".join(sorted(text_of(letter["message"]) for letter in t.dead()))
    assert "`ts`" in told and "'y'" in told, told


# --- what happens to rows and tables

ITEMS = """(id BIGINT UNSIGNED PRIMARY KEY, team VARCHAR(20) NOT NULL, name VARCHAR(64), n INT NOT NULL DEFAULT 0, UNIQUE (team, name))
    CHARACTER SET utf8mb4"""


@limit(120)
def test_changed_keys_move_their_rows(t):
    replica = Replica(t, items=ITEMS, pairs="(a VARCHAR(10) COLLATE utf8mb4_bin, b VARBINARY(8), n DECIMAL(10,2), PRIMARY KEY (a, b))")
    replica.run()
    replica.source("INSERT INTO items VALUES (1, 'red', 'a', 1), (2, 'red', 'b', 2), (18446744073709551615, 'blue', 'c', 3)")
    replica.source("INSERT INTO pairs VALUES ('x', x'00ff', 1.5), ('y', x'', -2)")
    replica.same(60)
    replica.source("UPDATE items SET id = 9223372036854775808 WHERE id = 18446744073709551615")
    replica.source("UPDATE items SET id = id + 10, name = CONCAT(name, '!') WHERE id < 10 ORDER BY id DESC")
    replica.source("UPDATE pairs SET b = x'ff00', n = n + 1 WHERE a = 'x'")
    replica.source("UPDATE pairs SET a = 'Y' WHERE a = 'y'")
    replica.source("UPDATE items SET id = 1 WHERE id = 11")  # back again, then another in its place
    replica.source("UPDATE items SET id = 11 WHERE id = 12")
    replica.same()
    equal(t.dead(), ())


@limit(120)
def test_a_truncated_table_is_emptied_where_allowed(t):
    replica = Replica(t, items=ITEMS, notes="(id INT PRIMARY KEY, n INT)")
    config = replica.config(source={"truncate": "allow"})
    process = t.sluice(**config)
    replica.source("INSERT INTO items SELECT seq, 'red', seq, seq FROM seq_1_to_500")
    replica.source("INSERT INTO notes VALUES (1, 1)")
    replica.same(60)
    replica.source("TRUNCATE TABLE items")
    replica.source("INSERT INTO items VALUES (3, 'red', 'new', 3)")
    replica.source("TRUNCATE TABLE notes")
    replica.same()
    equal(len(process.events("table_emptied")), 2)
    equal(t.dead(), ())


@limit(120)
def test_a_column_that_is_added_while_rows_change(t):
    """With schemas in the events, which change with the table."""
    replica = Replica(t, "typed", items=ITEMS, late=ITEMS)
    process = replica.run()
    for table in "items", "late":
        replica.source(f"INSERT INTO {table} SELECT seq, 'red', seq, 0 FROM seq_1_to_50")
    replica.same(60)
    # here first: nothing is lost on the way
    t.sql("ALTER TABLE items ADD COLUMN note VARCHAR(20) DEFAULT 'old' AFTER team")
    replica.source("UPDATE items SET n = 1 WHERE id <= 10")
    replica.source("ALTER TABLE items ADD COLUMN note VARCHAR(20) DEFAULT 'old' AFTER team")
    replica.source("UPDATE items SET n = 2, note = id WHERE id > 40")
    # there first: letters until it is here, too
    replica.source("ALTER TABLE late ADD COLUMN note VARCHAR(20) DEFAULT 'old'")
    replica.source("UPDATE late SET n = n + 1, note = 'new' WHERE id = 1")
    wait_for("the letter", lambda: t.reasons() == ["unknown_column"])
    t.sql("ALTER TABLE late ADD COLUMN note VARCHAR(20) DEFAULT 'old'")
    equal(t.command("dead", "replay", process.config, "--all")[0], 0)
    replica.same()
    replica.source("UPDATE late SET n = n + 1, note = 'newer' WHERE id < 5")
    replica.source("ALTER TABLE items DROP INDEX team, DROP COLUMN name")
    replica.source("UPDATE items SET n = 3 WHERE id = 7")
    replica.source("ALTER TABLE items ADD COLUMN name VARCHAR(64) AFTER note")
    replica.source("UPDATE items SET name = CONCAT('again ', id)")
    replica.same()
    equal({text_of(letter["state"]) for letter in t.dead()}, {"closed"})


@limit(120)
def test_an_incremental_snapshot_brings_rows_that_no_event_told(t):
    replica = Replica(t, items=ITEMS)
    replica.run()
    replica.source("INSERT INTO items VALUES (0, 'red', 'seen', 0)")
    replica.same(60)
    connection = replica.stack.mysql.connect(t.db)
    with connection.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute("INSERT INTO items SELECT seq, 'blue', seq, seq FROM seq_1_to_3000")
        cursor.execute("SET sql_log_bin = 1")
    connection.close()
    replica.stack.mysql.sql("INSERT INTO plain.signals VALUES (%s, 'execute-snapshot', %s)",
                            (t.prefix, '{"type": "incremental", "data-collections": ["%s.items"]}' % t.db))
    for key in range(0, 3000, 100):  # while its chunks are read
        replica.source("UPDATE items SET n = -n, team = 'green' WHERE id = %s", (key,))
        replica.source("DELETE FROM items WHERE id = %s", (key + 1,))
    replica.same()
    equal(t.dead(), ())


@limit(150)
def test_clients_update_while_sluice_is_killed_and_the_connector_restarts(t):
    replica = Replica(t, items=ITEMS)
    process = replica.run(batch={"max_rows": 100})
    replica.source("INSERT INTO items SELECT seq, 'red', seq, 0 FROM seq_1_to_100")
    replica.same(60)

    def client(number):
        rand, connection = random.Random(f"{t.name} {number}"), replica.stack.mysql.connect(t.db)
        with connection.cursor() as cursor:
            for step in range(400):
                key = rand.randrange(1, 130)
                try:
                    cursor.execute(*rand.choice([
                        ("UPDATE items SET n = n + 1 WHERE id = %s", (key,)), ("UPDATE items SET n = n + 1 WHERE id BETWEEN %s AND %s", (key, key + 3)),
                        ("DELETE FROM items WHERE id = %s", (key,)), ("INSERT IGNORE INTO items VALUES (%s, 'red', %s, 0)", (key, f"{number} {step}")),
                        ("UPDATE IGNORE items SET id = %s WHERE id = %s", (rand.randrange(1, 130), key))]))
                except pymysql.OperationalError:
                    continue  # a deadlock among them
        connection.close()
    clients = [threading.Thread(target=client, args=(number,)) for number in range(3)]
    for thread in clients:
        thread.start()
    process.kill()
    process.start()
    replica.stack.connect.ask("/connectors/plain/restart?includeTasks=true", method="POST")
    for thread in clients:
        thread.join()
    replica.stack.connect.running("plain")
    replica.same(60)
    equal(t.dead(), ())


# --- only invalidating

@limit(120)
def test_lanes_that_only_invalidate_read_the_same_topics(t):
    """Keys of both images, beside a process that writes the rows and without any MySQL."""
    replica = Replica(t, items=ITEMS)
    replica.run()
    keys = lambda *names: [f"{t.prefix}:{name}" for name in names]
    config = replica.config({"write": False}, mysql=None, pool="cache", redis={"url": t.redis_server.url}, tables={"items": {
        "key": ["id"], "types": {"id": "BIGINT UNSIGNED", "team": "VARCHAR(20)", "name": "VARCHAR(64)"},
        "invalidate": [f"{t.prefix}:item:{{id}}", f"{t.prefix}:team:{{team}}", {"key": f"{t.prefix}:card:{{id}}", "when": ["name"]},
                       {"key": f"{t.prefix}:all", "mode": "table"}]}})
    process = t.sluice(**config)

    def gone(statement, names, stay=()):
        """These keys go, and those stay."""
        every = keys(*names, *stay)
        for key in every:
            t.redis.set(key, 1)
        replica.source(statement)
        wait_for(f"the keys of {statement}", lambda: t.redis.exists(*keys(*names)) == 0, 60)
        replica.same()
        equal(t.redis.exists(*keys(*stay)) if stay else 0, len(stay), statement)
    big = 2**64 - 1
    gone(f"INSERT INTO items VALUES ({big}, 'red', 'a', 1), (2, 'blue', 'b', 2)", [f"item:{big}", "item:2", "team:red", "team:blue"], ["item:3"])
    gone(f"UPDATE items SET team = 'green' WHERE id = {big}", [f"item:{big}", "team:red", "team:green"], [f"card:{big}", "item:2", "team:blue"])
    gone("UPDATE items SET name = '😀' WHERE id = 2", ["item:2", "card:2", "team:blue"], ["team:green"])
    gone("UPDATE items SET id = 3 WHERE id = 2", ["item:2", "item:3", "card:2", "card:3", "team:blue"], [f"item:{big}", "team:green"])
    gone("DELETE FROM items WHERE id = 3", ["item:3", "card:3", "team:blue"], [f"item:{big}", "team:green"])
    t.redis.set(keys("all")[0], 5)
    replica.source("TRUNCATE TABLE items")
    wait_for("the table's generation", lambda: int(t.redis.get(keys("all")[0])) > 5)
    line = process.logged("event=dead_letter", "reason=truncate")
    assert "items" in line, line
    wait_for("the letter of the process that writes, which may not empty the table", lambda: t.reasons() == ["truncate"])
