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


def test_check_names_the_right_that_announcements_and_the_functions_lack(t):
    server = t.own_redis()
    t.sql("CREATE TABLE users (id BIGINT PRIMARY KEY, ver BIGINT NULL)")
    admin = ("ACL", "SETUSER", "small", "on", ">p", "resetkeys", "resetchannels", f"~{t.prefix}:*", "~sluice:*", "~user:*", "~told", "&told", "+@all")
    channel = {"redis": {"url": f"redis://small:p@127.0.0.1:{server.port}"}, "announce": {"channel": "told"},
               "tables": {"users": {"version": "ver", "invalidate": [{"key": "user:{id}", "mode": "versioned"}]}}}
    files = {"channel": t.write_config(**channel), "stream": t.write_config(**{**channel, "announce": {"stream": "told"}})}
    listener = t.redis.pubsub()
    listener.subscribe("told")

    def check(what, *rules):
        t.redis.execute_command(*admin, *rules)
        code, _, err = t.command("check", "--connect", files[what])
        return code, err
    for what in files:
        equal(check(what)[0], 0, check(what)[1])
    for what, rules, words in (
            ("channel", ["-publish"], "ACL SETUSER small +publish"),
            ("channel", ["resetchannels"], "ACL SETUSER small &told"),
            ("stream", ["-xadd"], "ACL SETUSER small +xadd"),
            ("stream", ["resetkeys", f"~{t.prefix}:*", "~sluice:*", "~user:*"], "ACL SETUSER small ~told"),
            ("channel", ["-hset"], "ACL SETUSER small +hset"),
            ("channel", ["-function|load", "-evalsha"], "needs them: +function|load, or +evalsha"),
            ("channel", ["-fcall", "-script|load"], "needs them: +fcall, or +script|load")):
        code, err = check(what, *rules)
        assert code == 78 and err.count(words) == 1, (rules, code, err)
    for rules in (["-function|load"], ["-evalsha", "-script|load"]):
        equal(check("channel", *rules)[0], 0, rules)
    code, err = check("channel", "-multi")
    assert code == 0 and "isn't known" in err, err
    t.redis.set("told", "a text")
    code, err = check("stream")
    assert code == 78 and "the key told is a string, not a stream" in err, err
    equal([one["type"] for one in iter(lambda: listener.get_message(timeout=0.2), None)], ["subscribe"], "something was published")
    equal(t.redis.keys("user:*"), [], "a key was made")
