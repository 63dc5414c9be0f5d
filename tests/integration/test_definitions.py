"""Tables whose definition changes under us, and tables with every kind of name."""
import time
from support import equal, limit, text_of, wait_for

NAMES = ["we`ird", "q'uote", 'd"q', "sp ace", "ünï☃", "select", "a;b", "back\\slash", "%s%d{id}", "t", "v", "i", "k0", "values"]
COLUMNS = ["pk `x", "or'der", 'na"me', "ta ble", "ß☃", "where", "x;y", "b\\c", "{id}%s", "t", "v", "i", "k0", "c0", "w"]


def quoted(name):
    return "`" + name.replace("`", "``") + "`"


def test_a_unique_index_that_comes_later_never_gives_another_row_away(t):
    """An upsert would meet the other row by the new index, before anybody has looked at the table again."""
    t.sql("CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20), credits INT NOT NULL DEFAULT 0)")
    t.sluice()
    lane = t.prefix + ":users:0"
    t.redis.xadd(lane, {"id": 1, "name": "a", "credits": 1})
    t.settle()
    t.sql("ALTER TABLE users ADD UNIQUE KEY (name), ADD UNIQUE KEY (credits)")
    t.add_many((lane, fields) for fields in ({"id": 2, "name": "a", "credits": 500}, {"id": 3, "name": "b", "credits": 3},
                                             {"id": 4, "_op": "incr", "credits": 1}))
    t.settle()
    equal(t.sql("SELECT id, name, credits FROM users ORDER BY id"), ((1, "a", 1), (3, "b", 3)))
    equal(t.reasons(), ["duplicate", "duplicate"])


def test_wider_columns_are_seen_before_anything_is_a_dead_letter(t):
    t.sql("CREATE TABLE users (id SMALLINT PRIMARY KEY, name VARCHAR(5))")
    t.sql("CREATE TABLE handles (k VARCHAR(3) PRIMARY KEY, n TEXT, ver BIGINT) CHARACTER SET utf8mb4")
    handles = t.prefix + ":handles"
    t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users"}, {"streams": handles, "table": "handles"}],
             tables={"handles": {"version": "ver"}})
    t.user(1, name="a"), t.redis.xadd(handles, {"k": "a", "_version": 1})
    t.settle()
    t.sql("ALTER TABLE users MODIFY id BIGINT UNSIGNED, MODIFY name VARCHAR(50)")
    t.sql("ALTER TABLE handles MODIFY k VARCHAR(30), MODIFY n INT, MODIFY ver BIGINT UNSIGNED")
    t.user(2**64 - 1, name="longer than five")
    t.redis.xadd(handles, {"k": "abcdef", "_op": "incr", "n": 1, "_version": 2**64 - 1})
    t.settle()
    equal([(text_of(letter["reason"]), text_of(letter["message"])) for letter in t.dead()], [])
    equal(t.row("SELECT name FROM users WHERE id = 18446744073709551615"), ("longer than five",))
    equal(t.row("SELECT n, ver FROM handles WHERE k = 'abcdef'"), (1, 2**64 - 1))


@limit(100)
def test_a_change_that_raises_no_error_is_seen(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, v INT, n INT NOT NULL DEFAULT 0)")
    process = t.sluice()
    lane = t.prefix + ":users:0"
    t.redis.xadd(lane, {"id": 1, "v": 0})
    t.settle()
    t.sql("CREATE TRIGGER count_them BEFORE UPDATE ON users FOR EACH ROW SET NEW.n = OLD.n + 1")
    process.logged("event=schema_changed", seconds=30)
    t.add_many((lane, {"id": 1, "v": v}) for v in range(1, 21))
    t.settle()
    equal(t.sql("SELECT v, n FROM users"), ((20, 20),))
    t.sql("DROP TRIGGER count_them")
    t.sql("ALTER TABLE users ADD CHECK (v < 1000)")
    wait_for("it is seen once more", lambda: len(process.events("schema_changed")) == 2, 30)
    t.add_many((lane, {"id": 2, "v": v}) for v in (1, 2000, 2))
    t.settle()
    equal((t.sql("SELECT v FROM users WHERE id = 2"), t.reasons()), (((2,),), ["check"]))


def test_a_trigger_may_refuse_with_any_number_of_its_own(t):
    t.users()
    t.sql("""CREATE TRIGGER refuse BEFORE INSERT ON users FOR EACH ROW
             IF NEW.credits > 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no', MYSQL_ERRNO = 31001;
             ELSEIF NEW.credits < 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no', MYSQL_ERRNO = 1205; END IF""")
    t.sluice()
    t.user(1, credits=1), t.user(2, credits=-1), t.user(3, credits=0)
    t.settle()
    equal(t.sql("SELECT id FROM users"), ((3,),))
    equal(t.reasons(), ["trigger", "trigger"])


def test_any_name_is_a_table_and_a_column(t):
    sources, tables = [], {"users": {}}
    t.users()
    for number, name in enumerate(NAMES):
        columns = [quoted(COLUMNS[0]) + " INT PRIMARY KEY"] + [quoted(c) + " BIGINT NOT NULL DEFAULT 0" for c in COLUMNS[1:]]
        t.sql(f"CREATE TABLE {quoted(name)} ({', '.join(columns)})")
        sources.append({"streams": f"{t.prefix}:{number}", "table": name})
        tables[name] = [{}, {"version": {"column": COLUMNS[2], "kind": "counter"}}, {"version": COLUMNS[2]}][number % 3]
    t.sluice(sources=sources, tables=tables)
    for number in range(len(NAMES)):
        given = (lambda n: {"_version": n}) if number % 3 == 2 else (lambda n: {})
        for key in range(4):
            t.add_many((f"{t.prefix}:{number}", {COLUMNS[0]: key + more, **fields}) for more, fields in (
                (0, {c: 7 for c in COLUMNS[1:] if c != COLUMNS[2]} | given(1)),
                (10, {"_op": "incr", COLUMNS[3]: 1, COLUMNS[4]: 2} | given(1)),
                (0, {"_op": "update", COLUMNS[5]: 9} | given(2))))
        t.redis.xadd(f"{t.prefix}:{number}", {COLUMNS[0]: 3, "_op": "delete"} | given(3))
    t.settle()
    equal(t.dead(), ())
    for name in NAMES:
        rows = t.sql(f"SELECT {', '.join(quoted(COLUMNS[i]) for i in (0, 4, 5))} FROM {quoted(name)} ORDER BY 1")
        equal(rows, ((0, 7, 9), (1, 7, 9), (2, 7, 9), (10, 2, 0), (11, 2, 0), (12, 2, 0), (13, 2, 0)), name)
