"""`sluice explain key`: whose key it is, what the cache holds under it (never the value), what is on its way to it."""
import re
from cache_functions import SOURCE, Cache
from support import equal, wait_for

SECRET = "nobody-sees-this"


def users(t, **more):
    t.sql("CREATE TABLE users (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(8), team VARCHAR(16), ver BIGINT)")
    t.redis.function_load(SOURCE, replace=True)
    return t.sluice(**{"tables": {"users": {"version": "ver", "invalidate": [
        {"key": t.prefix + ":v:{id}", "mode": "versioned", "quarantine": "1m"}, t.prefix + ":p:{id}", t.prefix + ":team:{team}",
        {"key": t.prefix + ":g:{id}", "mode": "generation"}, {"key": t.prefix + ":tag:{id}", "mode": "tag"},
        {"key": t.prefix + ":s:{id}:page:*", "mode": "scan"}]}}, **more})


def explain(t, key, code=0):
    got, out, err = t.command("explain", "key", t.sluices[-1].argv[-1], key)
    equal(got, code, out + err)
    assert SECRET not in out, out
    return out


def holds(text, *lines):
    for line in lines:
        assert re.search(line, text, re.M), f"{line!r} is not in\n{text}"


def test_a_versioned_entry_is_told_with_its_row_and_never_its_value(t):
    users(t).port()
    key = t.prefix + ":v:7"
    holds(explain(t, key), r"^  form +absent$", r"^table users: template .*:v:\{id\}, mode versioned$", r"^  id +=  ?7$", r"^  row +MySQL has none$",
          r"^  letter +none names the row$")
    t.user(7, name="a", _version=5)
    t.settle()
    cache = Cache(t.redis, load=False)
    token, _ = cache.load(key)
    text = explain(t, key)
    holds(text, r"^  value +none$", r"^  lease +taken for [0-9.]+ s more$", r"^  marker +5 is", r"^  row +MySQL has version 5$",
          r"^  lane +2 with nothing behind what is told$")
    assert token not in text, text
    equal(cache.fill(key, token, 5, SECRET, 60000, 0), "OK")
    holds(explain(t, key), r"^  form +an entry of the cache functions$", rf"^  value +{len(SECRET)} bytes, version 5, written [0-9.]+ s ago, served for [0-9.]+ s more$",
          r"^  ttl +5\d\.\d+ s left of the key$", r"^  memory +\d+ bytes$")
    t.user(7, _op="delete", _version=6)
    t.settle()
    holds(explain(t, key), r"^  value +none$", r"^  marker +6, deleted is", r"^  row +MySQL has none$")
    t.user(7, _op="invalidate")
    t.settle()
    holds(explain(t, key), r"^  fills +refused for [0-9.]+ s more \(told without a version\)$")


def test_a_key_in_a_spelling_that_nobody_is_told_of_is_named(t):
    users(t).port()
    t.user(7, name="a", _version=5)
    t.settle()
    holds(explain(t, t.prefix + ":v:007"), r"^  row +MySQL has version 5$", rf"^  spelled  otherwise: changes of the row are told to {t.prefix}:v:7$")
    assert "spelled" not in explain(t, t.prefix + ":v:7")


def test_what_waits_in_a_lane_is_found_with_its_entry(t):
    sluice = users(t)
    sluice.port()
    t.user(7, name="a", _version=5)
    t.settle()
    sluice.stop()
    entries = [t.user(7, name="b", _version=6).decode(), t.user(7, _op="delete", _version=8).decode()]
    t.user(8 if t.stream(8) == t.stream(7) else next(n for n in range(8, 99) if t.stream(n) == t.stream(7)), name="c", _version=1)
    text = explain(t, t.prefix + ":v:7")
    holds(text, rf"^  pending +entry {entries[0]} of default/redis/{t.stream(7)}: upsert of version 6, not written yet$",
          rf"^  pending +entry {entries[1]} of .*: delete of version 8, not written yet$", r"^ +3 entries behind that, 2 name the row$",
          r"^  lane +1 with nothing behind")
    t.add_many((t.stream(7), {"id": 7, "name": "d", "_version": n}) for n in range(10, 1500))
    holds(explain(t, t.prefix + ":v:7"), r"^ +only the first 1\d\d\d entries behind that were looked at$", r"^  pending +1\d\d\d in all$")


def test_dead_letters_that_name_the_row_are_listed(t):
    users(t).port()
    t.user(7, name="longer than eight", _version=5)
    t.user(7, nosuch="x", _version=6)
    t.user(9, name="longer than eight", _version=7)
    t.settle()
    text = explain(t, t.prefix + ":v:7")
    holds(text, r"^  letter +\d+ \(bad_value, dead\): upsert of version 5, entry ", r"^  letter +\d+ \(unknown_column, dead\): upsert of version 6",
          r"^  letter +2 in all$")


def test_the_outbox_and_keys_of_many_rows(t):
    users(t).port()
    key = t.prefix + ":team:red"
    t.user(7, name="a", team="red", _version=5)
    t.settle()
    entry = t.ledger()[t.stream(7)]["done"]
    words = b"".join(b"%d:%s" % (len(w), w) for w in (b"users", (t.prefix + ":team:{team}").encode(), key.encode()))
    t.sql("INSERT INTO sluice_outbox (lane, position, cache_keys, versions) VALUES (%s, %s, %s, '\\n')", (f"default/redis/{t.stream(7)}", entry, words))
    text = explain(t, key)
    holds(text, rf"^  outbox +lane default/redis/{t.stream(7)} will tell it for the batch up to", r"^  row +not one: ")


def test_every_form_and_a_key_that_is_nobodys(t):
    users(t).port()
    t.redis.set(t.prefix + ":p:7", SECRET)
    holds(explain(t, t.prefix + ":p:7"), rf"^  form +a plain value of {len(SECRET)} bytes$", r"^  ttl +none: it never expires$", r"mode delete$")
    t.redis.fcall("sluice_generation", 1, t.prefix + ":g:7")
    holds(explain(t, t.prefix + ":g:7"), r"^  form +a plain value of 16 bytes$", r"mode generation$")
    t.redis.sadd(t.prefix + ":tag:7", SECRET, "x")
    holds(explain(t, t.prefix + ":tag:7"), r"^  form +a set of 2 members$", r"mode tag$")
    t.redis.hset(t.prefix + ":s:7:page:1", mapping={"a": SECRET})
    holds(explain(t, t.prefix + ":s:7:page:1"), r"^  form +a hash of 1 fields, not of the cache functions$", r"mode scan$")
    holds(explain(t, t.prefix + ":v:seven"), r"^  row +none: ")
    holds(explain(t, t.prefix + ":nobody"), r"^no template of the configuration makes this key$")
    equal(t.command("explain", "key", t.sluices[-1].argv[-1])[0], 2)
    equal(t.command("explain", "row", t.sluices[-1].argv[-1], "users")[0], 2)


def test_partitions_are_told_as_the_ledger_has_them(t):
    users(t).port()
    path = t.write_config(kafka={"brokers": "127.0.0.1:1"}, tables={"users": {"invalidate": [t.prefix + ":p:{id}"]}},
                          sources=[{"topics": ["shop.users"], "tables": ["users"], "format": "debezium"}])
    t.sql("INSERT INTO sluice_ledger (lane, position, done, updated_at) VALUES ('default/kafka/shop.users/3', '41', '40', NOW()),"
          " ('default/kafka/other/0', '7', '7', NOW())")
    code, out, err = t.command("explain", "key", path, t.prefix + ":p:7")
    equal(code, 0, out + err)
    holds(out, r"^  lane +topics shop.users: their records are not looked into$",
          r"^  lane +default/kafka/shop.users/3: written up to 41, told up to 40$")
    assert "other" not in out, out


def test_without_mysql_a_lane_that_only_invalidates_has_its_cache_told(t):
    path = t.write_config(mysql=None, tables={"users": {"key": ["id"], "types": {"id": "bigint"}, "invalidate": [t.prefix + ":p:{id}"]}},
                          sources=[{"streams": t.prefix + ":i", "table": "users", "write": False, "format": "fields", "operations": ["invalidate"]}])
    code, out, err = t.command("explain", "key", path, t.prefix + ":p:7")
    equal(code, 0, out + err)
    holds(out, r"^  form +absent$", r"^  id +=  ?7$", r"the configuration has no mysql")


def test_a_row_that_nobody_writes_is_explained_by_what_its_event_has(t):
    """No server is asked."""
    table = {"key": ["id"], "version": "ver", "set": {"region": "eu"}, "types": {"id": "bigint unsigned", "mail": "varchar(64)"}, "invalidate": [
        {"key": "user:{id}", "mode": "versioned"}, "mail:{mail}", "in:{region}", {"key": "card:{id}", "when": ["name"]}]}
    config = t.write_config(redis={"url": "redis://127.0.0.1:1"}, mysql=None, tables={"users": table, "logs": {"key": ["id"], "invalidate": [{"key": "log:{id}", "mode": "versioned"}]}},
                            sources=[{"streams": "s", "format": "debezium", "write": False, "tables": ["users", "logs"]}])

    def keys(*words, table="users", code=0):
        got, out, err = t.command("explain", "row", config, table, *words)
        equal(got, code, out + err)
        return [re.split(r"  +", line.strip()) for line in out.splitlines()[1:]] if code == 0 else err
    equal([row[0] for row in keys("id=007", "mail=a", "name=x")], ["user:7", "mail:a", "in:eu", "card:7"])
    equal([row[0] for row in keys("id=7", "mail=a", "name=x", "--before", "mail=b")], ["user:7", "mail:b", "mail:a", "in:eu"])
    equal([row[0] for row in keys("id=7", "mail=a", "--before", "id=8")][:2], ["user:8", "user:7"])
    told = lambda *words, **more: keys("id=7", "mail=a", *words, **more)[0][2]
    equal([told("ver=5"), told("ver=5", "--delete"), told("ver=5", "--before", "ver=4"), told("ver=5", "--before", "ver=5"), told()],
          ["5", "5 deleted", "5", "unversioned", "unversioned"])
    equal(keys("id=1", table="logs"), [["log:1", "versioned", "its place in the log", "log:{id}"]])
    assert "mail: a key names this column" in keys("id=7", code=2)
    assert "nosuch=1: want COLUMN=VALUE" in keys("id=7", "nosuch=1", code=2)
    keys("id=-1", "mail=a", code=2)
