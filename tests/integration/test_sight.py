"""Accounts that may not see all of a table's definition: what folding can't know is not folded."""
from support import MariaDB, equal, limit

OWN_TABLES = ("sluice_ledger", "sluice_outbox", "sluice_dead_letter", "sluice_worker", "sluice_parked", "sluice_schema")
DML = "SELECT, INSERT, UPDATE, DELETE"


def poor(t, *tables, more=()):
    """The part of a configuration for an account with DML on these tables and ours, and `more` rights."""
    name = "poor" + t.db[-26:]
    t.mysql.sql(f"DROP USER IF EXISTS {name}@'%'")
    t.mysql.sql(f"CREATE USER {name}@'%' IDENTIFIED BY 'poor'")
    for right in [f"{DML} ON {t.db}.{table}" for table in (*tables, *OWN_TABLES)] + list(more):
        t.mysql.sql(f"GRANT {right} TO {name}@'%'")
    return {"url": f"mysql://{name}:poor@127.0.0.1:{t.mysql.port}/{t.db}"}


def one_batch(t, mysql, entries, tables, start=True):
    """All entries by one lane, in one batch; the process."""
    lane = t.prefix + ":all"
    t.add_many((lane, fields) for fields in entries)
    process = t.sluice(path=t.write_config(mysql=mysql, sources=[{"streams": lane, "tables": list(tables)}],
                                           tables={"users": None, **{table: {} for table in tables}}))
    t.settle()
    return process


def warned(process, right):
    lines = process.events("table_not_folded")
    return sorted(line.split("table=")[1].split()[0] for line in lines if f"GRANT {right} ON" in line)


def checked(t, more=()):
    t.sql("CREATE TABLE things (id INT PRIMARY KEY, a INT, n INT, doc JSON, CHECK (a < 10))")
    entries = [{"_table": "things", "id": 1, "a": 50, "n": 1}, {"_table": "things", "id": 1, "a": 5},
               {"_table": "things", "id": 2, "doc": "{", "n": 1}, {"_table": "things", "id": 2, "doc": "[]"}]
    process = one_batch(t, poor(t, "things", more=more), entries, ["things"])
    equal(t.sql("SELECT id, a, n, doc FROM things ORDER BY id"), ((1, 5, None, None), (2, None, None, "[]")))
    return process


def test_a_hidden_check_is_not_folded_over(t):
    process = checked(t)
    equal(t.reasons(), ["check", "check"])
    equal(warned(process, "REFERENCES"), ["things"])


def test_with_the_grant_it_is_seen(t):
    process = checked(t, more=[f"REFERENCES ON {t.db}.*"])
    equal(t.reasons(), ["check", "check"])
    equal(process.events("table_not_folded"), [])


def family(t):
    t.sql("CREATE TABLE p (id INT PRIMARY KEY, n INT)")
    t.sql("CREATE TABLE c (id INT PRIMARY KEY, p INT, n INT, FOREIGN KEY (p) REFERENCES p (id) ON DELETE CASCADE)")


def test_hidden_cascades_keep_the_order_of_their_tables(t):
    family(t)
    entries = [{"_table": "p", "id": 1, "n": 1}, {"_table": "c", "id": 1, "p": 1, "n": 1}, {"_table": "p", "_op": "delete", "id": 1},
               {"_table": "p", "id": 1, "n": 2}, {"_table": "c", "id": 2, "p": 1, "n": 2}]
    process = one_batch(t, poor(t, "p", "c"), entries, ["c", "p"])
    equal((t.sql("SELECT * FROM p"), t.sql("SELECT * FROM c")), (((1, 2),), ((2, 1, 2),)))
    equal(t.dead(), ())
    equal(warned(process, "REFERENCES"), ["c", "p"])


def test_a_child_whose_foreign_keys_are_hidden_waits_for_its_parent(t):
    family(t)
    parents, children = t.prefix + ":p", t.prefix + ":c"
    t.redis.xadd(children, {"id": 1, "p": 7})
    t.sluice(path=t.write_config(mysql=poor(t, "p", "c"), sources=[{"streams": parents, "table": "p"}, {"streams": children, "table": "c"}],
                                 tables={"users": None, "p": {}, "c": {}})).logged("event=lane_held", "why=foreign_key")
    t.redis.xadd(parents, {"id": 7})
    t.settle()
    equal((t.sql("SELECT id, p FROM c"), t.dead()), (((1, 7),), ()))


def test_a_table_nobody_may_see_between_two_of_ours(t):
    """a references hidden, and hidden references z: to delete in z deletes in a."""
    t.sql("CREATE TABLE z (id INT PRIMARY KEY, n INT)")
    t.sql("CREATE TABLE hidden (id INT PRIMARY KEY, z INT, FOREIGN KEY (z) REFERENCES z (id) ON DELETE CASCADE)")
    t.sql("CREATE TABLE a (id INT PRIMARY KEY, h INT, FOREIGN KEY (h) REFERENCES hidden (id) ON DELETE CASCADE)")
    t.sql("INSERT INTO z VALUES (1, 1), (2, 2)")
    t.sql("INSERT INTO hidden VALUES (1, 1), (2, 2)")
    t.sql("INSERT INTO a VALUES (1, 1)")
    entries = [{"_table": "a", "_op": "update", "id": 1, "h": 2}, {"_table": "z", "_op": "delete", "id": 1}]
    one_batch(t, poor(t, "a", "z"), entries, ["a", "z"])
    equal((t.sql("SELECT * FROM a"), t.dead()), (((1, 2),), ()))


def triggered(t):
    t.sql("CREATE TABLE seen (id INT PRIMARY KEY, v INT, changes INT NOT NULL DEFAULT 0)")
    t.sql("CREATE TRIGGER count_them BEFORE UPDATE ON seen FOR EACH ROW SET NEW.changes = OLD.changes + 1")
    entries = [{"_table": "seen", "id": key, "v": v} for key in (1, 2) for v in range(5)]
    process = one_batch(t, poor(t, "seen"), entries, ["seen"])
    equal(t.sql("SELECT * FROM seen ORDER BY id"), ((1, 4, 4), (2, 4, 4)))
    return process


def test_a_trigger_sees_every_change(t):
    triggered(t)


def entangled(t, mysql):
    t.sql("CREATE TABLE a (id INT PRIMARY KEY, n INT)")
    t.sql("CREATE TABLE z (id INT PRIMARY KEY, n INT)")
    t.sql("CREATE TABLE m (id INT PRIMARY KEY, v INT)")
    t.sql("CREATE PROCEDURE both_of(k INT) BEGIN UPDATE a SET n = 100 WHERE id = k; UPDATE z SET n = 100 WHERE id = k; END")
    t.sql("CREATE TRIGGER others AFTER INSERT ON m FOR EACH ROW CALL both_of(NEW.id)")
    entries = []
    for key in range(0, 40, 2):
        rows = [{"_table": table, "id": key + more, "n": 7} for table in ("a", "z") for more in (0, 1)]
        entries += [rows[0], rows[2], {"_table": "m", "id": key}, {"_table": "m", "id": key + 1}, rows[1], rows[3]]
    one_batch(t, mysql(t), entries, ["a", "m", "z"])
    for table in ("a", "z"):
        equal(t.sql(f"SELECT id % 2, n, COUNT(*) FROM {table} GROUP BY 1, 2 ORDER BY 1"), ((0, 100, 20), (1, 7, 20)), table)
    equal(t.dead(), ())


def test_a_trigger_that_writes_another_table_keeps_the_order_of_both(t):
    entangled(t, lambda t: {})


def test_a_trigger_whose_body_is_hidden_may_write_another_table(t):
    entangled(t, lambda t: poor(t, "a", "m", "z"))


@limit(240)
def test_on_mysql_hidden_triggers_and_cascades_are_kept_in_order(t):
    t.mysql = MariaDB(t.dir, name="mysql9").up()
    t.own.append(t.mysql)
    t.database()
    process = triggered(t)
    equal(warned(process, "TRIGGER"), ["seen"])
    equal(process.stop(), 0)
    for where in ("seen", "*"):
        process = one_batch(t, poor(t, "seen", more=[f"TRIGGER ON {t.db}.{where}"]), [{"_table": "seen", "id": 1, "v": 4}], ["seen"])
        equal(process.events("table_not_folded"), [], where)
        equal(process.stop(), 0)
    entangled(t, lambda t: poor(t, "a", "m", "z"))
