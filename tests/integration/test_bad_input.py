"""Each bad entry is a dead letter that says why, and nothing else suffers."""
import json, os, random
from support import equal, limit, text_of, wait_for


def reasons_of(t, entries, stream=None):
    """Add bad entries, each between good ones; answer the reasons of their dead letters."""
    bad = []
    for fields in entries:
        t.user(1, name="before")
        bad.append(text_of(t.redis.xadd(stream or t.stream(), fields)))
        t.user(1, name="after"), t.user(2, name="after")
    t.settle()
    equal(t.row("SELECT name FROM users WHERE id = 1"), ("after",))
    letters = {text_of(letter["entry"]): text_of(letter["reason"]) for letter in t.dead()}
    equal(sorted(letters), sorted(bad), "whose dead letters")
    return [letters[entry] for entry in bad]


def test_each_reason_has_its_name(t):
    t.users()
    t.sql("ALTER TABLE users ADD CHECK (credits > -1000)")
    t.sql("CREATE TRIGGER refuse BEFORE UPDATE ON users FOR EACH ROW IF NEW.name = 'forbidden' THEN SIGNAL SQLSTATE '45000'; END IF")
    t.sluice(tables={"users": {}})
    cases = [
            ({"name": "x"}, "no_key"),
            ({"id": "abc", "name": "x"}, "bad_key"),
            ({"id": "007", "name": "x"}, "bad_key"),
            ({"id": "-1", "name": "x"}, "bad_key"),
            ({"id": 1, "_what": "x"}, "bad_entry"),
            ({"id": 1, "_op": "explode"}, "bad_operation"),
            ({"id": 1, "nosuch": "x"}, "unknown_column"),
            ({"id": 1, "_version": "5", "name": "x"}, "bad_version"),
            ({"id": 1, "name": "y" * 65}, "bad_value"),
            ({"id": 1, "name": b"\xff\xfe"}, "bad_value"),
            ({"id": 1, "credits": "twelve"}, "bad_value"),
            ({"id": 1, "_null": "credits"}, "bad_value"),
            ({"id": 1, "logins": "-1"}, "out_of_range"),
            ({"id": 1, "_op": "incr", "credits": "-5000"}, "check"),
            ({"id": 1, "name": "forbidden"}, "trigger"),
            ({"id": 1, "_table": "orders", "name": "x"}, "unknown_table|table_denied"),
            ({"id": 1, "_table": "sluice_ledger", "lane": "x"}, "table_denied"),
            ({"id": 1, "_table": "mysql.user", "name": "x"}, "unknown_table|table_denied")]
    for got, (fields, reason) in zip(reasons_of(t, [fields for fields, _ in cases]), cases):
        assert got in reason.split("|") or (got, reason) == ("bad_value", "out_of_range"), f"{fields}: {got}, not {reason}"


def test_what_is_not_utf8_is_never_taken_for_text_of_another_character_set(t):
    t.sql("""CREATE TABLE users (id BIGINT PRIMARY KEY, name VARCHAR(9), wide VARCHAR(9) CHARACTER SET utf16,
        kind ENUM('a','b'), kinds SET('a','b')) CHARACTER SET latin1""")
    t.sluice()
    bad = [{"id": 3, column: value} for column in ("name", "wide", "kind", "kinds") for value in (b"\xff", b"\xc3", b"a\xfe\xfd")]
    equal(reasons_of(t, bad), ["bad_value"] * len(bad))
    equal(t.sql("SELECT id FROM users ORDER BY id"), ((1,), (2,)))
    t.user(3, name="é")
    t.settle()
    equal(t.row("SELECT HEX(name) FROM users WHERE id = 3"), ("E9",))


def test_only_allowed_operations_pass(t):
    t.users()
    t.sluice(sources=[{"streams": t.prefix + ":users:{0..1}", "table": "users", "operations": ["upsert"]}])
    equal(reasons_of(t, [{"id": 1, "_op": "delete"}]), ["operation_denied"])


def test_a_dead_letter_keeps_the_whole_entry(t):
    t.users()
    t.sluice()
    entry = t.redis.xadd(t.stream(), {"id": "abc", "name": "☃'", b"\xffname": b"\0\xfe"})
    t.settle()
    letter, = t.dead()
    equal((text_of(letter["lane"]), text_of(letter["entry"])), (f"default/redis/{t.stream()}", entry.decode()))
    pairs = json.loads(letter["payload"])
    equal(pairs[:2], [["id", "abc"], ["name", "☃'"]])
    equal(pairs[2], [{"base64": "/25hbWU="}, {"base64": "AP4="}])
    assert letter["message"] and "abc" not in letter["message"], letter["message"]


def test_hostile_names_and_values_never_become_sql(t):
    t.users()
    t.sluice()
    hostile = ["`", "``; DROP TABLE users; --", "id`=1,`name", "'", "\\", "\0", "a" * 70_000, "%s%n", "${HOME}", "name\n", "{id}", "_", "_op "]
    for number, text in enumerate(hostile):
        t.redis.xadd(t.stream(), {"id": 50 + number, text: "x"})
        t.redis.xadd(t.stream(), {"id": 1, "_table": text, "name": "x"})
        t.redis.xadd(t.stream(), {"id": text, "name": "x"})
        t.redis.xadd(t.stream(), {"id": 1, "_op": text})
        t.redis.xadd(t.stream(), {"id": 1, "_null": text})
        t.redis.xadd(t.stream(), {"id": 2 + number, "email": text[:100]})
    t.settle()
    equal(t.row("SELECT COUNT(*), MIN(id), MAX(id) FROM users"), (len(hostile), 2, 1 + len(hostile)))
    equal(len(t.dead()), 5 * len(hostile))
    equal(t.sql("SELECT email FROM users ORDER BY id"), tuple((text[:100],) for text in hostile))


def test_random_bytes_crash_nothing(t):
    t.users()
    process = t.sluice(poison_rate=0)
    rnd = random.Random(5)
    names = [b"id", b"name", b"_op", b"_table", b"_null", b"_version", b"_at", b"credits"]
    entries = []
    for _ in range(2000):
        fields = {}
        for _ in range(rnd.randint(1, 5)):
            name = rnd.choice(names) if rnd.random() < 0.8 else rnd.randbytes(rnd.randint(0, 9))
            fields[name] = rnd.choice([b"1", b"-1", b"incr", b"", b"users", b"name", rnd.randbytes(rnd.randint(0, 30))])
        entries.append((t.stream(), fields))
    t.add_many(entries)
    t.user(77, name="end")
    t.settle(40)
    equal(t.row("SELECT name FROM users WHERE id = 77"), ("end",))
    assert process.alive()


def test_five_thousand_fields_are_a_dead_letter(t):
    t.users()
    t.sluice()
    equal(reasons_of(t, [{"id": 1, **{f"f{n}": n for n in range(5000)}}]), ["unknown_column"])


def test_an_entry_above_max_allowed_packet_is_kept_in_chunks(t):
    t.own_mysql("--max-allowed-packet=1M")
    t.users()
    t.sql("ALTER TABLE users ADD doc LONGTEXT")
    t.sluice()
    doc = "x" * 3_000_000
    entry = t.redis.xadd(t.stream(), {"id": 1, "doc": doc})
    t.user(1, name="after"), t.user(2, doc="y" * 900_000)
    t.settle()
    equal(t.sql("SELECT id, name, LENGTH(doc) FROM users ORDER BY id"), ((1, "after", None), (2, None, 900_000)))
    letters = sorted(t.dead(), key=lambda letter: letter["chunk"])
    equal({text_of(letter["reason"]) for letter in letters}, {"too_large"})
    equal([letter["chunk"] for letter in letters], list(range(letters[0]["chunks"])))
    equal({text_of(letter["entry"]) for letter in letters}, {entry.decode()})
    equal(json.loads(b"".join(letter["payload"] for letter in letters)), [["id", "1"], ["doc", doc]])


def test_an_entry_above_entry_max_halts_its_lane_until_it_is_skipped(t):
    t.users()
    process = t.sluice(entry_max="64KiB")
    here, other = t.prefix + ":users:0", t.prefix + ":users:1"
    t.redis.xadd(here, {"id": 1, "name": "before"})
    big = t.redis.xadd(here, {"id": 2, "name": "x" * 200_000})
    t.redis.xadd(here, {"id": 3, "name": "after"})
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted", 20)
    t.redis.xadd(other, {"id": 4, "name": "other"})
    t.settle(streams=[other])
    equal(t.sql("SELECT id FROM users ORDER BY id"), ((1,), (4,)))
    process.kill()  # a restart alone resumes nothing
    process.start()
    wait_for("still halted", lambda: t.lane_state(here) == "halted")
    code, out, err = t.lane("skip", here, big.decode())
    equal(code, 0, out + err)
    t.settle()
    equal(t.sql("SELECT id FROM users ORDER BY id"), ((1,), (3,), (4,)))


def test_a_halt_outlives_the_process_in_the_ledger(t):
    t.users()
    t.sluice(entry_max="64KiB")
    t.user(1, name="x" * 200_000)
    wait_for("the lane halts", lambda: t.lane_state(t.stream(1)) == "halted")
    wait_for("the ledger says so", lambda: text_of(t.ledger()[t.stream(1)]["halted"]) == "entry_too_large")


def test_too_many_dead_letters_halt_the_lane_until_it_is_resumed(t):
    t.users()
    process = t.sluice(poison_rate=20)
    here = t.prefix + ":users:0"
    t.add_many((here, {"id": key, "nosuch": 1}) for key in range(100))
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted")
    assert len(t.dead()) <= 60, len(t.dead())
    equal(text_of(t.ledger()[here]["halted"]), "poison_rate")
    t.sql("ALTER TABLE users ADD nosuch INT")
    equal(t.lane("resume", here)[0], 0)
    t.settle()
    assert t.row("SELECT COUNT(*) FROM users")[0] >= 40
    assert process.alive()


def test_on_poison_halt_stops_before_the_entry(t):
    t.users()
    process = t.sluice(tables={"users": {"on_poison": "halt"}})
    here = t.prefix + ":users:0"
    _, bad, _, worse, _ = [t.redis.xadd(here, fields).decode() for fields in (
        {"id": 1, "name": "a"}, {"id": 2, "nosuch": 1}, {"id": 3, "name": "b"}, {"id": 4, "never": 1}, {"id": 5, "name": "c"})]
    ids = lambda: [row[0] for row in t.sql("SELECT id FROM users ORDER BY id")]
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted")
    equal((ids(), t.dead()), ([1], ()))
    t.sql("ALTER TABLE users ADD nosuch INT")  # the cause is gone: resume applies it
    equal(t.lane("resume", here)[0], 0)
    wait_for("it halts at the next", lambda: ids() == [1, 2, 3] and t.lane_state(here) == "halted")
    process.logged("event=lane_halted", f"at entry {worse}: unknown_column: ")
    code, out, err = t.lane("skip", here, worse)
    equal(code, 0, out + err)
    t.settle()
    refused = t.redis.xadd(here, {"id": 6, "credits": "many"}).decode()  # by the server
    process.logged("event=lane_halted", f"at entry {refused}: bad_value: table users")
    equal(t.lane("skip", here, refused)[0], 0)
    t.settle()
    equal((ids(), t.dead()), ([1, 2, 3, 5], ()))


@limit(120)
def test_memory_stays_bounded_with_big_entries_on_many_lanes(t):
    t.sql("CREATE TABLE users (id INT PRIMARY KEY, doc LONGTEXT)")
    streams = t.prefix + ":users:{0..7}"
    body = "x" * 1_000_000
    for n in range(30):
        pipe = t.redis.pipeline(transaction=False)
        for lane in range(8):
            pipe.xadd(f"{t.prefix}:users:{lane}", {"id": (n * 8 + lane) % 24, "doc": body})
        pipe.execute()
    process = t.sluice(sources=[{"streams": streams, "table": "users"}], memory="32MiB")
    most = 0

    def done():
        nonlocal most
        most = max(most, process.rss_mib())
        return not t.behind()
    wait_for("240 MB are written", done, 60, 0.1)
    equal(t.row("SELECT COUNT(*), SUM(LENGTH(doc)) FROM users"), (24, 24_000_000))
    assert most < 64 or os.environ.get("VARIANT") in ("asan", "tsan"), f"{most:.0f} MiB"
