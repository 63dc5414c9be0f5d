"""A right that is denied is done without, by its name in the log, and the rows still come; the README's rights are enough."""
from support import equal, limit, stays, wait_for


def life(t, process, key=1):
    t.user(key, name="a"), t.user(key, _op="incr", credits=5), t.user(key, _op="incr", credits=2)
    t.settle()
    equal(t.row("SELECT name, credits FROM users WHERE id = %s", (key,)), ("a", 7))
    assert process.alive()


def denied(t, *rules):
    """A sluice on a Redis of its own whose user lacks these rights; returns it and its lines that say so."""
    t.own_redis()
    t.users()
    t.redis.execute_command("ACL", "SETUSER", "sluice", *rules)
    process = t.sluice()
    life(t, process)
    return process


def refusals(process):
    return process.events("source_refuses")


def test_all_that_the_readme_asks_for_is_enough_and_nothing_is_refused(t):
    t.own_redis(durable=True)
    t.users()
    process = t.sluice(tables={"users": {"invalidate": ["user:{id}"]}})
    life(t, process)
    wait_for("trimmed", lambda: t.redis.xlen(t.stream(1)) == 1)
    equal((refusals(process), t.redis.execute_command("ACL", "LOG")), ([], []))
    code, out, err = t.command("check", "--connect", process.argv[-1])
    equal(code, 0, out + err)
    assert "right is missing" not in out + err, out + err


def test_without_config(t):
    process = denied(t, "-config|get", "-config")
    equal(len(refusals(process)), 1)
    assert "config" in refusals(process)[0] and "snapshots" in refusals(process)[0], refusals(process)


def test_without_xinfo_nothing_is_trimmed_and_one_warning_says_all(t):
    process = denied(t, "-xinfo")
    here = t.stream(1)
    for n in range(30):
        t.user(1, name=f"n{n}")
    t.settle()
    stays("untrimmed", lambda: t.redis.xlen(here) == 33, 2.5)
    equal(len(refusals(process)), 1)
    assert all(word in refusals(process)[0] for word in ("xinfo", "gaps", "trimming")), refusals(process)
    t.redis.delete(here)  # a gap that nobody can see
    t.user(1, name="after")
    wait_for("rows still come", lambda: t.row("SELECT name FROM users") == ("after",))
    assert process.alive()


def test_without_xgroup_nobody_sees_the_lag(t):
    process = denied(t, "-xgroup")
    equal(len(refusals(process)), 1)
    assert "xgroup" in refusals(process)[0] and "group" in refusals(process)[0], refusals(process)
    equal(t.redis.xinfo_groups(t.stream(1)), [])


def test_without_xtrim_streams_grow(t):
    process = denied(t, "-xtrim")
    for n in range(30):
        t.user(1, name=f"n{n}")
    t.settle()
    wait_for("it says so", lambda: refusals(process))
    assert "xtrim" in refusals(process)[0] and "trimming" in refusals(process)[0], refusals(process)
    stays("untrimmed", lambda: t.redis.xlen(t.stream(1)) == 33, 1.5)
    equal(len(refusals(process)), 1)
    wait_for("the lag is right all the same", lambda: t.redis.xinfo_groups(t.stream(1))[0]["lag"] == 0)


def test_without_memory_usage_streams_have_no_size(t):
    process = denied(t, "-memory|usage", "-memory")
    wait_for("it says so", lambda: refusals(process))
    equal(len(refusals(process)), 1)
    assert "memory" in refusals(process)[0], refusals(process)
    wait_for("trimmed", lambda: t.redis.xlen(t.stream(1)) == 1)


@limit(90)
def test_without_create_table_somebody_feeds_the_schema(t):
    t.users()
    t.drop_own_tables()
    process = t.sluice()
    process.logged("sluice_ledger")
    t.user(1, name="a"), t.user(1, _op="incr", credits=7)
    stays("nothing is written", lambda: t.sql("SELECT * FROM users") == (), 1)
    wait_for("it is visible", lambda: process.get("/healthz")[0] == 503)
    from support import own_tables
    for statement in own_tables():
        t.sql(statement)
    t.settle(60)
    equal(t.row("SELECT name, credits FROM users"), ("a", 7))


def test_what_information_schema_hides_is_named_and_rows_come(t):
    t.mysql.sql(f"REVOKE REFERENCES, TRIGGER ON {t.db}.* FROM sluice@'%'")
    t.users()
    t.sql("ALTER TABLE users ADD CHECK (credits < 1000)")
    process = t.sluice()
    t.user(2, name="b"), t.user(2, _op="incr", credits=5000), t.user(2, _op="incr", credits=3)
    life(t, process)
    equal(t.row("SELECT name, credits FROM users WHERE id = 2"), ("b", 3))
    equal(t.reasons(), ["check"])
    process.logged("REFERENCES")
