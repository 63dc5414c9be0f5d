"""A lock that somebody else holds keeps one lane, whatever kind of lock it is, and the others go on."""
import time
from support import equal, limit, wait_for

TABLES = ("CREATE TABLE parent (id INT PRIMARY KEY, n INT)",
          """CREATE TABLE users (id INT PRIMARY KEY, mail VARCHAR(40), parent INT, n INT NOT NULL DEFAULT 0,
             UNIQUE KEY (mail), FOREIGN KEY (parent) REFERENCES parent (id))""",
          "INSERT INTO parent VALUES (1, 0)", "INSERT INTO users (id) VALUES (2), (900), (1001)")


def hold(t, statement, blocked, seconds=4):
    """While a foreign transaction holds the locks of `statement`, lane 0 has the blocked entries; lane 1 counts."""
    for table in TABLES:
        t.sql(table)
    t.sluice(lock_wait="1s")
    t.redis.xadd(t.prefix + ":users:1", {"_op": "incr", "id": 1001, "n": 1})
    t.settle()
    session = t.mysql.connect(t.db)
    session.begin()
    session.cursor().execute(statement)
    end, count, longest = time.monotonic() + seconds, 1, 0
    for entry in blocked:
        t.redis.xadd(t.prefix + ":users:0", entry)
    while time.monotonic() < end:
        started, count = time.monotonic(), count + 1
        t.redis.xadd(t.prefix + ":users:1", {"_op": "incr", "id": 1001, "n": 1})
        wait_for("the other lane goes on", lambda: t.row("SELECT n FROM users WHERE id = 1001") == (count,), 10, 0.005)
        longest = max(longest, time.monotonic() - started)
    assert count > 8, f"the other lane went on {count} times in {seconds} s"
    assert longest < 4, f"the other lane stood still for {longest:.1f} s"
    session.rollback()
    session.close()
    t.settle()
    equal(t.dead(), ())


def test_another_row_s_unique_value(t):
    hold(t, "INSERT INTO users (id, mail) VALUES (500, 'm')", [{"id": 3, "mail": "m"}])
    equal(t.row("SELECT mail FROM users WHERE id = 3"), ("m",))


def test_a_parent(t):
    hold(t, "UPDATE parent SET n = 1", [{"id": 3, "parent": 1}, {"id": 4, "parent": 1}])
    equal(t.row("SELECT COUNT(*) FROM users WHERE parent = 1"), (2,))


def test_a_gap(t):
    hold(t, "SELECT * FROM users WHERE id BETWEEN 3 AND 800 FOR UPDATE", [{"id": 4}, {"id": 700, "_op": "incr", "n": 1}])
    equal(t.sql("SELECT id, n FROM users WHERE id IN (4, 700)"), ((4, 0), (700, 1)))


def test_a_row_of_the_same_key(t):
    hold(t, "INSERT INTO users (id, n) VALUES (4, 7)", [{"_op": "incr", "id": 4, "n": 1}, {"_op": "incr", "id": 6, "n": 1}])
    equal(t.sql("SELECT id, n FROM users WHERE id IN (4, 6)"), ((4, 1), (6, 1)))


@limit(90)
def test_the_whole_table(t):
    t.sql("CREATE TABLE other (id INT PRIMARY KEY, v INT)")
    t.users()
    other = t.prefix + ":other"
    t.sluice(lock_wait="1s", tables={"other": {}},
             sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users"}, {"streams": other, "table": "other"}])
    t.user(1, credits=0)
    t.settle()
    session = t.mysql.connect(t.db)
    session.cursor().execute("LOCK TABLES other WRITE")
    t.redis.xadd(other, {"id": 1, "v": 2})
    for count in range(1, 60):
        t.user(1, _op="incr", credits=1)
        wait_for("users go on", lambda: t.row("SELECT credits FROM users") == (count,), 10, 0.005)
        time.sleep(0.05)
    session.close()
    t.settle()
    equal((t.sql("SELECT * FROM other"), t.dead()), (((1, 2),), ()))
