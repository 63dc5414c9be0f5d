"""What an entry means: operations, values, keys, formats, versions."""
import base64, datetime, decimal, json, time
from support import equal, limit, wait_for


def user(t, key=7):
    return t.row("SELECT name, email, credits, logins FROM users WHERE id = %s", key)


def test_each_operation_does_what_it_says(t):
    t.users()
    t.sluice()
    t.user(1, name="Ann", email="a@x")
    t.user(1, name="Bob")                        # upsert of one column leaves the others
    t.user(2, _op="update", name="nobody")       # no row: nothing
    t.user(3, name="gone"), t.user(3, _op="delete"), t.user(4, _op="delete")
    t.user(5, _op="incr", credits=5, logins=1)   # creates, from 0; NULL counts as 0
    t.user(5, _op="incr", credits=-7, logins=2)
    t.user(6, name="x", _op="upsert"), t.user(6, _op="update", email="e")
    t.user(8, _op="invalidate")
    t.settle()
    equal(t.sql("SELECT id, name, email, credits, logins FROM users ORDER BY id"),
          ((1, "Bob", "a@x", 0, None), (5, None, None, -2, 3), (6, "x", "e", 0, None)))
    equal(t.dead(), ())


def test_operations_give_the_same_in_one_batch_and_in_many(t):
    t.users()
    for key in (1, 2):
        for fields in ({"name": "a"}, {"_op": "incr", "credits": 3}, {"_op": "delete"}, {"_op": "update", "name": "no"},
                       {"_op": "incr", "credits": 4}, {"_op": "update", "name": "b"}, {"email": "e"}, {"_op": "incr", "logins": 1}):
            t.user(key, **fields)
    t.sluice(batch={"max_rows": 1, "max_delay": "0ms"})
    t.settle()
    equal(t.sql("SELECT name, email, credits, logins FROM users"), (("b", "e", 4, 1),) * 2)


def test_integers_arrive_exactly_over_the_whole_64_bit_range(t):
    t.sql("CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, s BIGINT, u BIGINT UNSIGNED, n BIGINT NOT NULL DEFAULT 0)")
    t.sluice()
    values = [(2**64 - 1, -2**63, 2**64 - 1), (2**53 + 1, 2**63 - 1, 2**63), (0, 0, 2**53 + 1), (1, -2**53 - 1, 0)]
    for key, s, u in values:
        t.user(key, s=s, u=u)
        t.user(key, _op="incr", n=2**53), t.user(key, _op="incr", n=1)
    t.settle()
    equal(sorted(t.sql("SELECT id, s, u, n FROM users")), sorted((*value, 2**53 + 1) for value in values))


def test_decimals_of_any_length_arrive_exactly(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, d DECIMAL(65,30), m DECIMAL(20,4) NOT NULL DEFAULT 0)")
    t.sluice()
    long = "-" + "9" * 35 + "." + "123456789" * 3 + "999"
    t.user(1, d=long, m="0.0001")
    t.user(1, _op="incr", m="-10.5"), t.user(1, _op="incr", m="0.25")
    t.settle()
    equal(t.row("SELECT d, m FROM users"), (decimal.Decimal(long), decimal.Decimal("-10.2499")))


def test_binary_and_any_utf8_arrive_byte_for_byte(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, b VARBINARY(600), t TEXT) CHARACTER SET utf8mb4")
    t.sluice()
    every = bytes(range(256)) * 2
    texts = ["naïve ☃ 𝄞 \U0010ffff", "\0zero\0", "'; DROP TABLE users; --", "\\", "\\'", '"`%s %d${x}', "line\r\n\x1a", "", "NULL", " x "]
    for key, text in enumerate(texts):
        t.user(key, b=every + bytes([key]), t=text)
    t.settle()
    equal(t.sql("SELECT b, t FROM users ORDER BY id"), tuple((every + bytes([key]), text) for key, text in enumerate(texts)))


def test_null_names_the_columns_that_become_null(t):
    t.users()
    t.sluice()
    t.user(7, name="Bob", email="b@x", logins=3)
    t.user(7, _null="email,logins")
    t.settle()
    equal(user(t), ("Bob", None, 0, None))
    t.user(7, _null="credits"), t.user(7, _null="nosuch"), t.user(7, _null="id")  # NOT NULL; no column; the key
    t.settle()
    equal(user(t), ("Bob", None, 0, None))
    equal(len(t.dead()), 3)


def test_times_may_be_rfc_3339_and_are_stored_as_utc(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, d DATE, dt DATETIME, f DATETIME(6), ts TIMESTAMP NULL, flag BOOLEAN)")
    t.sluice()
    t.user(1, d="2025-08-01", dt="2025-08-01T12:34:56Z", f="2025-08-01T23:00:00.123456-02:30", ts="2025-08-01T12:00:00+02:00", flag="true")
    t.user(2, d="2025-08-01T00:00:00Z", dt="2025-08-01 12:34:56", f="2025-08-01 01:02:03.5", ts="2025-08-01 12:00:00", flag="false")
    t.settle()
    at = datetime.datetime
    rows = t.sql("SELECT d, dt, f, UNIX_TIMESTAMP(ts), flag FROM users ORDER BY id")
    utc = lambda *when: int(at(*when, tzinfo=datetime.timezone.utc).timestamp())
    equal(rows[0], (datetime.date(2025, 8, 1), at(2025, 8, 1, 12, 34, 56), at(2025, 8, 2, 1, 30, 0, 123456), utc(2025, 8, 1, 10), 1))
    equal(rows[1], (datetime.date(2025, 8, 1), at(2025, 8, 1, 12, 34, 56), at(2025, 8, 1, 1, 2, 3, 500000), utc(2025, 8, 1, 12), 0))


def test_composite_and_text_keys_are_rows_of_their_own(t):
    t.sql("""CREATE TABLE users (tenant INT, handle VARCHAR(40) COLLATE utf8mb4_bin, v INT, PRIMARY KEY (tenant, handle))
             CHARACTER SET utf8mb4""")
    t.sluice()
    keys = [(-2, "ann"), (-2, "Ann"), (1, "a:b"), (1, "a'b\\"), (1, "é ☃"), (2, "")]
    for number, (tenant, handle) in enumerate(keys):
        t.redis.xadd(t.stream(), {"tenant": tenant, "handle": handle, "v": number})
    t.redis.xadd(t.stream(), {"tenant": 1, "handle": "a:b", "_op": "delete"})
    t.redis.xadd(t.stream(), {"tenant": 1, "v": 5})  # half a key
    t.settle()
    equal(sorted(t.sql("SELECT tenant, handle, v FROM users")), sorted((*key, n) for n, key in enumerate(keys) if key != (1, "a:b")))
    equal(t.reasons(), ["no_key"])


def test_spellings_of_one_text_key_are_one_row(t):
    t.sql("CREATE TABLE users (id VARCHAR(40) PRIMARY KEY, n INT NOT NULL DEFAULT 0, v VARCHAR(9)) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    stream = t.prefix + ":one"
    for number in range(30):
        t.redis.xadd(stream, {"_op": "incr", "id": ("Bob", "bob", "BOB ")[number % 3], "n": 1})
        t.redis.xadd(stream, {"id": ("Bob", "bob", "BOB ")[number % 3], "v": number})
    t.sluice(sources=[{"streams": stream, "table": "users"}])
    t.settle()
    equal(t.sql("SELECT n, v FROM users"), ((30, "29"),))


def test_one_stream_feeds_several_tables_by_name(t):
    t.sql("CREATE TABLE orders (id INT PRIMARY KEY, v INT)")
    t.sql("CREATE TABLE items (id INT PRIMARY KEY, v INT)")
    stream = t.prefix + ":shop"
    t.sluice(sources=[{"streams": stream, "tables": ["orders", "items"]}], tables={"users": None, "orders": {}, "items": {}})
    t.redis.xadd(stream, {"_table": "orders", "id": 1, "v": 1})
    t.redis.xadd(stream, {"_table": "items", "id": 1, "v": 2})
    t.redis.xadd(stream, {"id": 2, "v": 2})
    t.settle()
    equal((t.sql("SELECT * FROM orders"), t.sql("SELECT * FROM items")), (((1, 1),), ((1, 2),)))
    equal(len(t.dead()), 1)


def json_table(t, **more):
    t.sql("""CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(64), n BIGINT, d DECIMAL(40,20), flag BOOLEAN, doc JSON,
             bin VARBINARY(64)) CHARACTER SET utf8mb4""")
    t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users", "format": "json", **more}])


def test_json_values_arrive_as_written(t):
    json_table(t)
    every = bytes(range(60))
    text = ('{"id": 18446744073709551615, "name": "\\ud834\\udd1e \\u0000\'", "n": -9223372036854775808, "d": 12345678901234567890.12345678901234567890,'
            ' "flag": true, "doc": {"a": [1, 2.50, null, "☃"]}, "bin": "%s"}' % base64.b64encode(every).decode())
    t.redis.xadd(t.stream(), {"entry": text})
    t.settle()
    row = t.row("SELECT id, name, n, d, flag, doc, bin FROM users")
    equal(row[:5] + row[6:], (2**64 - 1, "𝄞 \0'", -2**63, decimal.Decimal("12345678901234567890.12345678901234567890"), 1, every))
    equal(json.loads(row[5]), {"a": [1, 2.5, None, "☃"]})
    t.redis.xadd(t.stream(), {"entry": '{"id": 18446744073709551615, "name": null, "_op": "update"}'})
    t.settle()
    equal(t.row("SELECT name, flag FROM users"), (None, 1))


def test_a_json_list_commits_together(t):
    json_table(t)
    t.redis.xadd(t.stream(), {"x": json.dumps([{"id": 1, "n": 1}, {"id": 2, "n": 2}, {"id": 1, "_op": "incr", "n": 4}])})
    t.settle()
    equal(t.sql("SELECT id, n FROM users ORDER BY id"), ((1, 5), (2, 2)))
    t.redis.xadd(t.stream(), {"x": json.dumps([{"id": 1, "n": 100}, {"id": 3, "nosuch": 1}])})
    t.settle()
    equal(t.sql("SELECT id, n FROM users ORDER BY id"), ((1, 5), (2, 2)), "half of a list was applied")
    equal(t.reasons(), ["unknown_column"])


def test_json_may_stand_in_a_named_field(t):
    json_table(t, field="payload")
    t.redis.xadd(t.stream(), {"trace": "abc", "payload": '{"id": 1, "n": 1}'})
    for bad in ('{"id": 2,', "[]x", "7", '{"id": {"a": 1}}'):
        t.redis.xadd(t.stream(), {"trace": "abc", "payload": bad})
    t.redis.xadd(t.stream(), {"trace": "abc"})
    t.settle()
    equal(t.sql("SELECT id, n FROM users"), ((1, 1),))
    equal(len(t.dead()), 5)


def test_fields_are_mapped_ignored_and_set(t):
    t.users()
    t.sluice(tables={"users": {"columns": {"mail": "email"}, "ignore": ["trace"], "set": {"name": "by sluice"}}})
    t.user(7, mail="m@x", trace="abc")
    t.settle()
    equal(user(t), ("by sluice", "m@x", 0, None))


def test_given_versions_let_only_newer_changes_through(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, a INT, b INT, ver BIGINT UNSIGNED)")
    t.sql("INSERT INTO users VALUES (9, 1, 1, NULL), (6, 0, 0, 6)")
    process = t.sluice(tables={"users": {"version": "ver"}})
    t.user(1, _version=5, a=1), t.user(1, _version=4, a=2), t.user(1, _version=5, a=3), t.user(1, _version=7, b=9)
    t.user(6, _version=5, a=1), t.user(6, _version=7, b=1)
    t.user(9, _version=1, a=2)
    t.user(2, _version=2**63, a=1), t.user(2, _version=2**64 - 1, a=2), t.user(2, _version=2**63 + 1, a=3)
    t.user(3, _version=5, a=1), t.user(3, _version=4, _op="delete"), t.user(4, _version=5, a=1), t.user(4, _version=6, _op="delete")
    t.settle()
    equal(t.sql("SELECT * FROM users ORDER BY id"), ((1, 1, 9, 7), (2, 2, None, 2**64 - 1), (3, 1, None, 5), (6, 0, 1, 7), (9, 2, 1, 1)))
    t.user(1, a=8)
    t.settle()
    equal(t.reasons(), ["bad_version"])
    # five are refused; the first two of row 1 are one where they meet in a batch without the one before
    wait_for("older changes are counted", lambda: process.status()["tables"]["users"]["older"] >= 4)


def test_counter_and_clock_stamp_rows_upwards(t):
    for kind in ("counter", "clock"):
        t.sql(f"CREATE TABLE {kind} (id INT PRIMARY KEY, a INT, ver BIGINT)")
    streams = {kind: f"{t.prefix}:{kind}" for kind in ("counter", "clock")}
    t.sluice(sources=[{"streams": stream, "table": kind} for kind, stream in streams.items()],
             tables={"users": None, **{kind: {"version": {"column": "ver", "kind": kind}} for kind in streams}})
    for kind, stream in streams.items():
        t.redis.xadd(stream, {"id": 1, "a": 1})
        t.settle()
        first = t.row(f"SELECT ver FROM {kind}")[0]
        now = t.row("SELECT UNIX_TIMESTAMP(NOW(6)) * 1000000")[0]
        assert abs(now - first) < 60_000_000, f"{kind} starts at {first}, not near {now}"
        for value in range(5):
            t.redis.xadd(stream, {"id": 1, "a": value})
        t.settle()
        last = t.row(f"SELECT ver FROM {kind}")[0]
        assert last == first + 5 if kind == "counter" else last > first, f"{kind}: {first} -> {last}"
        t.redis.xadd(stream, {"id": 1, "a": 1, "_version": 3})
    t.settle()
    equal(t.reasons(), ["bad_version", "bad_version"])


def test_a_lane_may_start_at_its_end(t):
    t.users()
    t.user(1, name="old"), t.user(2, name="old")
    t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users", "start": "end"}])
    wait_for("the ledger rows", lambda: len(t.ledger()) == 2)
    t.user(3, name="new"), t.user(4, name="new")
    t.settle()
    equal(t.sql("SELECT id FROM users ORDER BY id"), ((3,), (4,)))


def test_a_child_waits_for_its_parent_in_another_lane(t):
    t.sql("CREATE TABLE parents (id INT PRIMARY KEY) ENGINE=InnoDB")
    t.sql("CREATE TABLE children (id INT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES parents (id))")
    one, other = t.prefix + ":c", t.prefix + ":p"
    process = t.sluice(sources=[{"streams": one, "table": "children"}, {"streams": other, "table": "parents"}],
                       tables={"users": None, "parents": {}, "children": {}}, foreign_key_wait="2s")
    process.port()
    t.redis.xadd(one, {"id": 1, "parent": 1})
    t.redis.xadd(other, {"id": 1})
    t.settle()
    equal(t.sql("SELECT * FROM children"), ((1, 1),))
    t.redis.xadd(one, {"id": 2, "parent": 77})  # one that never comes
    t.settle()
    equal(t.reasons(), ["foreign_key"])


@limit(60)
def test_orphans_of_a_backlog_share_one_wait(t):
    t.sql("CREATE TABLE parent (id INT PRIMARY KEY)")
    t.sql("CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id))")
    parents, children = t.prefix + ":parents", t.prefix + ":children"
    t.redis.xadd(parents, {"id": 1})
    stuck = t.redis.xadd(parents, {"id": "x"})
    t.add_many((children, {"id": key, "p": 1 if key % 50 else 2}) for key in range(1, 1001))
    process = t.sluice(path=t.write_config(sources=[{"streams": parents, "table": "parent"}, {"streams": children, "table": "child"}],
                                           tables={"users": None, "parent": {"on_poison": "halt"}, "child": {}}, foreign_key_wait="3s",
                                           batch={"max_rows": 50}))
    t.settle(45, streams=[children])  # twenty waits would be a minute
    equal(t.row("SELECT COUNT(*) FROM child"), (980,))
    equal(t.reasons(), ["foreign_key"] * 20)
    equal(t.lane("skip", parents, stuck.decode())[0], 0)
    t.settle()
    assert process.alive()


def family(t, **more):
    t.sql("CREATE TABLE parent (id INT PRIMARY KEY, n INT)")
    t.sql("CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id))")
    parents, children = t.prefix + ":parents:{0..2}", t.prefix + ":children"
    t.sluice(path=t.write_config(sources=[{"streams": parents, "table": "parent"}, {"streams": children, "table": "child"}],
                                 tables={"users": None, "parent": {"on_poison": "halt"}, "child": {}}, workers=2, **more))
    return [parents.replace("{0..2}", str(lane)) for lane in range(3)], children


def test_an_orphan_whose_parents_lanes_are_empty_waits_no_longer(t):
    parents, children = family(t)
    t.redis.xadd(parents[0], {"id": 1, "n": 1})  # the other lanes never had one
    t.settle()
    start = time.monotonic()
    t.add_many((children, {"id": key, "p": 1 if key % 2 else 7}) for key in range(1, 101))
    t.settle()
    assert time.monotonic() - start < 29, "foreign_key_wait is 30 s"
    equal(t.row("SELECT COUNT(*) FROM child"), (50,))
    equal(t.reasons(), ["foreign_key"] * 50)


def test_an_orphan_waits_for_a_parents_lane_that_is_not_empty(t):
    """The other worker's lane stands before the parent, which was there before the child."""
    parents, children = family(t)
    t.redis.xadd(parents[0], {"id": 1}), t.redis.xadd(children, {"id": 1, "p": 1})
    t.settle()
    for lane in (0, 1):
        stuck = t.redis.xadd(parents[lane], {"id": "x"})
        wait_for("its lane halts", lambda: t.lane_state(parents[lane]) == "halted")
        t.redis.xadd(parents[lane], {"id": 10 + lane})
        t.redis.xadd(children, {"id": 10 + lane, "p": 10 + lane})
        wait_for("the child waits", lambda: t.lane_status(children)["why"] == "foreign_key")
        time.sleep(2.5)
        equal(t.dead(), ())
        equal(t.lane("skip", parents[lane], stuck.decode())[0], 0)
        t.settle()
    equal((t.row("SELECT COUNT(*) FROM child"), t.dead()), ((3,), ()))


def test_a_batch_that_fails_again_and_again_backs_off(t):
    t.users()
    t.sql("CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 31001")
    process = t.sluice()
    t.user(1, name="a")
    waits = lambda: [int(line.split("wait_ms=")[1].split()[0]) for line in process.events("store_retry")]
    wait_for("a wait of more than two seconds", lambda: max(waits()) > 2000, 30)
    t.sql("DROP TRIGGER refuse")
    t.settle()


def test_a_unique_conflict_never_touches_the_other_row(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, email VARCHAR(20) UNIQUE, n INT)")
    t.sluice()
    t.user(1, email="a", n=1)
    t.settle()
    for key in (3, 5):
        t.user(key, email="a", n=9), t.user(key + 1, email=f"ok{key}", n=2)
    t.settle()
    equal(t.sql("SELECT * FROM users ORDER BY id"), ((1, "a", 1), (4, "ok3", 2), (6, "ok5", 2)))
    equal(t.reasons(), ["duplicate", "duplicate"])
    assert "email" in t.dead()[0]["message"], t.dead()[0]["message"]


def test_a_column_without_default_is_needed_only_for_a_new_row(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, must INT NOT NULL, a INT, u INT UNSIGNED NOT NULL DEFAULT 5)")
    t.sluice()
    t.user(1, must=1, a=1), t.user(2, a=1)
    t.user(1, a=2), t.user(1, _op="incr", u=-5)
    t.user(1, _op="incr", u=-1)                      # below 0 in UNSIGNED: leaves the row alone
    t.settle()
    equal(t.sql("SELECT * FROM users"), ((1, 1, 2, 0),))
    equal(t.reasons(), ["no_default", "out_of_range"])


def test_alter_table_while_running_is_followed(t):
    t.users()
    t.sluice()
    t.user(1, name="a")
    t.settle()
    t.sql("ALTER TABLE users ADD COLUMN nick VARCHAR(9)")
    t.user(1, nick="new")
    t.settle()
    equal(t.row("SELECT name, nick FROM users"), ("a", "new"))
    t.sql("ALTER TABLE users MODIFY nick VARCHAR(30), DROP COLUMN email")
    t.user(1, nick="x" * 30), t.user(2, name="b")
    t.settle()
    t.user(1, email="gone")
    t.settle()
    equal(t.sql("SELECT id, nick FROM users ORDER BY id"), ((1, "x" * 30), (2, None)))
    equal(t.reasons(), ["unknown_column"])


def test_hot_rows_are_folded(t):
    t.users()
    t.add_many((t.prefix + ":users:0", {"_op": "incr", "id": 1, "credits": 1}) for _ in range(3000))
    t.redis.xadd(t.prefix + ":users:1", {"id": 2, "name": "x"})
    process = t.sluice()
    t.settle()
    equal(t.row("SELECT credits FROM users WHERE id = 1"), (3000,))
    folded = process.status()["tables"]["users"]["folded"]
    assert folded > 2500, f"only {folded} of 3000 were folded"


def test_rows_are_written_no_faster_than_allowed(t):
    t.users()
    t.add_many((t.stream(key), {"id": key, "name": "x"}) for key in range(1000))
    t.sluice(max_rows_per_second=200)  # the batches are smaller than they might be
    count = lambda: t.row("SELECT COUNT(*) FROM users")[0]
    wait_for("the first rows", count)
    first, start = count(), time.monotonic()
    t.settle()
    rate = (1000 - first) / (time.monotonic() - start)
    assert rate < 300, f"{rate:.0f} rows a second"
