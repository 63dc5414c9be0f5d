"""`sluice wait`: exits 0 once a write is readable in MySQL, and says which of the other ends it came to."""
import subprocess, time
from support import SLUICE, equal, free_port, wait_for


def versioned(t, streams=2, **more):
    t.sql("""CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(8), ver BIGINT)""")
    return t.sluice(tables={"users": {"version": "ver"}},
                    sources=[{"streams": t.prefix + ":users:{0..%d}" % (streams - 1), "table": "users", **more}])


def wait(t, *words, path=None):
    return t.command("wait", path or t.sluices[-1].argv[-1], "users", *words)


def test_it_ends_when_the_row_has_the_version_and_not_before(t):
    sluice = versioned(t)
    sluice.port()
    t.user(7, name="a", _version=5)
    code, out, err = wait(t, "id=7", "--version", "5")
    equal(code, 0, out + err)
    equal(t.sql("SELECT name, ver FROM users WHERE id = 7"), (("a", 5),))
    equal(wait(t, "id=007", "--version=4")[0], 0, "a higher version has it, in whatever spelling")
    code, out, err = wait(t, "id=7", "--version", "6", "--timeout", "200ms")
    equal(code, 3, out + err)
    assert "the row has version 5" in err, err
    code, out, err = wait(t, "id=8", "--version", "1", "--timeout", "0")
    equal((code, "no such row" in err), (3, True), err)

    waiting = subprocess.Popen([SLUICE, "wait", sluice.argv[-1], "users", "id=8", "--version", "18446744073709551615", "--timeout", "20s"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.sql("ALTER TABLE users MODIFY ver BIGINT UNSIGNED")
    t.user(8, name="b", _version=2**64 - 2)
    t.settle()
    equal(waiting.poll(), None, "one less isn't it")
    t.user(8, name="b", _version=2**64 - 1)
    equal((waiting.wait(20), waiting.stdout.read()), (0, b"readable: the row has version 18446744073709551615\n"))


def test_it_ends_when_the_lane_is_written_past_the_entry(t):
    sluice = versioned(t)
    sluice.port()
    entry = t.user(7, name="a", _version=1).decode()
    code, out, err = wait(t, "--entry", entry)
    equal((code, "--stream" in err and t.prefix + ":users:0, " + t.prefix + ":users:1" in err), (2, True), err)
    for name in (t.stream(7), "default/redis/" + t.stream(7)):
        code, out, err = wait(t, "--entry", entry, "--stream", name)
        equal(code, 0, out + err)
    equal(t.sql("SELECT name FROM users"), (("a",),))
    later = f"{int(entry.split('-')[0]) + 10 ** 6}-0"
    code, out, err = wait(t, "--entry", later, "--stream", t.stream(7), "--timeout", "100ms")
    equal((code, f"written up to {entry}" in err), (3, True), err)
    code, out, err = wait(t, "--entry", entry, "--stream", t.prefix + ":nobody")
    equal((code, "reads" in err), (2, True), err)
    equal(wait(t, "--entry", "7", "--stream", t.stream(7))[0], 2, "an offset is no stream id")


def test_one_lane_needs_no_name_and_a_sluice_that_comes_later_is_waited_for(t):
    sluice = versioned(t, 1)
    sluice.port()
    sluice.stop()
    entry = t.redis.xadd(t.prefix + ":users:0", {"id": 1, "name": "x", "_version": 1}).decode()
    code, _, err = wait(t, "--entry", entry, "--timeout", "100ms")
    equal(code, 3, err)
    sluice.start()
    equal(wait(t, "--entry", entry, "--timeout", "20s")[0], 0)


def test_a_dead_letter_is_named(t):
    sluice = versioned(t, 1)
    stream = t.prefix + ":users:0"
    sluice.port()
    entry = t.redis.xadd(stream, {"id": 7, "name": "longer than eight", "_version": 3}).decode()
    for words in (("--entry", entry), ("id=7", "--version", "3")):
        code, out, err = wait(t, *words)
        equal(code, 4, out + err)
        assert "bad_value" in err and "dead letter 1" in err, err
    equal(wait(t, "id=7", "--version", "2", "--timeout", "100ms")[0], 3, "it is another version")
    equal(wait(t, "id=8", "--version", "3", "--timeout", "100ms")[0], 3, "it is another row")
    t.sql("ALTER TABLE users MODIFY name VARCHAR(64)")
    equal(t.command("dead", "replay", sluice.argv[-1], "--all")[0], 0)
    for words in (("--entry", entry), ("id=7", "--version", "3")):
        equal(wait(t, *words)[0], 0, "it was applied")


def test_what_nobody_can_know_is_said_with_its_reason(t):
    sluice = versioned(t, 1)
    stream = t.prefix + ":users:0"
    sluice.port()
    entry = t.redis.xadd(stream, {"id": 7, "name": "a", "_version": 3}).decode()
    t.settle()
    t.sql("UPDATE sluice_ledger SET alarm = 'gap'")
    code, _, err = wait(t, "--entry", entry)
    equal((code, "gap" in err), (5, True), err)
    t.sql("CREATE TABLE plain (id INT PRIMARY KEY)")
    path = t.write_config(tables={"users": {}, "plain": {}}, sources=[
        {"streams": t.prefix + ":users:0", "table": "users"}, {"streams": t.prefix + ":p", "table": "plain", "write": False}])
    code, _, err = wait(t, "id=7", "--version", "1", path=path)
    equal((code, "no `version`" in err), (5, True), err)
    code, _, err = t.command("wait", path, "plain", "--entry", entry)
    equal((code, "only invalidates" in err), (5, True), err)


def test_a_partition_is_waited_for_by_its_offset(t):
    versioned(t, 1).port()
    path = t.write_config(kafka={"brokers": "127.0.0.1:1"}, tables={"users": {"version": "ver"}}, sources=[
        {"topics": ["shop.users", "^more\\..*"], "tables": ["users"], "format": "debezium"}])
    t.sql("INSERT INTO sluice_ledger (lane, position, done, updated_at) VALUES ('default/kafka/shop.users/3', '41', '40', NOW())")
    for name in ("shop.users/3", "default/kafka/shop.users/3"):
        equal(wait(t, "--entry", "41", "--stream", name, path=path)[0], 0, name)
    code, _, err = wait(t, "--entry", "42", "--stream", "shop.users/3", "--timeout", "50ms", path=path)
    equal((code, "written up to 41" in err), (3, True), err)
    for words in (("--entry", "41"), ("--entry", "41", "--stream", "other/3"), ("--entry", "41", "--stream", "shop.users"),
                  ("--entry", "41-0", "--stream", "shop.users/3")):
        equal(wait(t, *words, path=path)[0], 2, words)
    code, _, err = wait(t, "--entry", "0", "--stream", "more.users/0", "--timeout", "50ms", path=path)
    equal((code, "no row in the ledger yet" in err), (3, True), err)


def test_wrong_words_are_named_and_a_mysql_that_is_away_is_69(t):
    versioned(t, 1).port()
    for words in (("id=7",), ("id=7", "--version", "x"), ("--version", "1"), ("id=7", "--version", "1", "--entry", "1-0"), ("id=7", "--entry", "1-0"),
                  ("id=7", "--version", "1", "--stream", "s"), ("id=7", "--version", "1", "--timeout", "soon"),
                  ("name=7", "--version", "1"), ("id", "--version", "1"), ("id=seven", "--version", "1")):
        equal(wait(t, *words)[0], 2, words)
    equal(t.command("wait", t.sluices[0].argv[-1], "nosuch", "--entry", "1-0")[0], 2)
    path = t.write_config(mysql={"url": f"mysql://u:p@127.0.0.1:{free_port()}/d"}, tables={"users": {"version": "ver"}})
    began = time.monotonic()
    equal(wait(t, "id=7", "--version", "1", "--timeout", "300ms", path=path)[0], 69)
    assert time.monotonic() - began < 20
