"""Mode scan and announcements, on real servers."""
import base64, json
from cache_functions import HOUR, NONE, Cache, reader, start, user
from fault_proxy import FaultProxy
from support import Redis, equal, limit, wait_for

SCAN = {"key": "user:{id}:*", "mode": "scan"}


def fill(client, prefix, count):
    pipe = client.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"{prefix}{number}", "x")
    pipe.execute()


def scan_status(process):
    return process.status()["scan"]


def test_a_pattern_s_keys_go_and_no_others_and_done_waits_for_it(t):
    process, server = start(t, SCAN, version=None)
    client = server.client()
    fill(client, "user:1:page:", 2000), fill(client, "user:12:page:", 500), fill(client, "other:", 500)
    client.hset("user:1:hash", "a", "b"), client.sadd("user:1:set", "a"), client.xadd("user:1:stream", {"a": "b"})
    t.user(1, name="a"), t.settle()
    equal(sorted(client.keys("user:1:*")), [b"user:1:stream"], "a stream is never touched")
    equal(len(client.keys("user:12:*")), 500)
    equal(len(client.keys("other:*")), 500)
    equal(process.metric("sluice_scan_removed_total"), 2002)
    equal(process.metric("sluice_invalidations_skipped_total"), 1)
    assert scan_status(process)["passes"] >= 1 and scan_status(process)["patterns"] == 0, scan_status(process)


def test_values_are_no_patterns(t):
    t.sql("CREATE TABLE users (id VARCHAR(20) PRIMARY KEY, name VARCHAR(20)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    server = Redis(t.dir).up()
    t.own.append(server)
    t.sluice(cache={"url": server.url}, tables={"users": {"invalidate": [SCAN]}}, sources=[{"streams": t.prefix + ":one", "table": "users"}])
    client = server.client()
    ids = ["*", "a*", "[ab]", "?", "\\", "a", "b"]
    for value in ids:
        client.set(f"user:{value}:page", "x")
    for value in ids[:5]:
        t.redis.xadd(t.prefix + ":one", {"id": value, "name": "x"})
    t.settle()
    equal(sorted(client.keys("user:*")), [b"user:a:page", b"user:b:page"])


@limit(60)
def test_a_long_pass_holds_no_other_lane_s_batches_and_is_bounded(t):
    process, server = start(t, SCAN, {"key": "row:{id}"}, version=None, scan={"step": 10, "max_keys_per_second": 700, "max_patterns": 5})
    client = server.client()
    fill(client, "other:", 4000)
    lane_of_scan, other = t.stream(1), t.stream(2)
    if lane_of_scan == other:
        other = next(t.stream(n) for n in range(2, 9) if t.stream(n) != lane_of_scan)
    fill(client, "user:1:page:", 10)
    client.set("row:1", "x")
    t.user(1, name="a")
    wait_for("the plain key is gone while the pass runs", lambda: not client.exists("row:1") and scan_status(process)["patterns"] == 1)
    equal(t.behind([lane_of_scan]), [lane_of_scan])
    looked = 0
    while not scan_status(process)["passes"]:
        behind, now = t.behind([lane_of_scan]), scan_status(process)
        if not now["passes"]:
            equal(behind, [lane_of_scan])
            looked = now["looked_keys"]
        if looked > 2000:  # longer than done is recorded otherwise
            break
    assert looked > 500, looked
    keys = [n for n in range(2, 200) if t.stream(n) == lane_of_scan][:12]
    full = False

    def written_or_full():
        nonlocal full
        full |= scan_status(process)["workers_full"] == 1
        return full or t.row("SELECT 1 FROM users WHERE id = %s", n)
    for added, n in enumerate(keys, 1):
        t.user(n, name="b")
        wait_for("its row, or the lane is held", written_or_full)
        if full:
            break
    assert full, "the limit of patterns shows"
    assert process.metric("sluice_scan_patterns") <= 8
    t.settle()
    equal(t.row("SELECT COUNT(*) FROM users")[0], 1 + added)
    equal(client.keys("user:1:*"), [])


def test_a_pass_survives_a_lost_connection_and_a_kill(t):
    process, server = start(t, SCAN, version=None, scan={"step": 10, "max_keys_per_second": 2000})
    client = server.client()
    fill(client, "other:", 3000), fill(client, "user:1:page:", 200)
    t.user(1, name="a")
    wait_for("it runs", lambda: scan_status(process)["looked_keys"] > 200)
    for one in client.client_list():
        if one["name"].startswith("sluice-cache"):
            client.client_kill(one["addr"])
    looked = scan_status(process)["looked_keys"]
    wait_for("it goes on", lambda: scan_status(process)["looked_keys"] > looked + 100 or scan_status(process)["passes"])
    t.settle()
    equal(client.keys("user:1:*"), [])
    fill(client, "user:1:page:", 200)
    t.user(1, name="b")
    wait_for("it runs again", lambda: scan_status(process)["patterns"] == 1 or scan_status(process)["passes"] > 1)
    process.kill()
    process.start()
    t.settle(30)
    equal(client.keys("user:1:*"), [])


def test_a_step_that_is_lost_in_its_middle_is_done_again(t):
    proxies = []

    def through_a_proxy(server):
        proxies.append(FaultProxy(server.port).start())
        return {"url": server.url_at(proxies[0].port)}
    process, server = start(t, SCAN, version=None, cache=through_a_proxy, scan={"step": 10})
    client = server.client()
    fill(client, "user:1:page:", 300)
    proxies[0].drop_reply(b"TYPE", times=3)
    t.user(1, name="a")
    wait_for("the types of three steps are lost", lambda: proxies[0].done("drop_reply") == 3)
    t.settle()
    equal(client.keys("user:1:*"), [])
    proxies[0].stop()


# --- announcements

class Listener:
    """What a process-local cache hears."""

    def __init__(self, server, channel):
        self.pubsub = server.client().pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe(channel)
        self.pubsub.get_message(timeout=5)
        self.heard = []

    def messages(self, count):
        def enough():
            while message := self.pubsub.get_message(timeout=0.05):
                self.heard.append(json.loads(message["data"]))
            return len(self.heard) >= count
        wait_for(f"{count} announcements", enough)
        return self.heard


def essence(message):
    return message["table"], message["key"], message["version"], message["reason"]


def test_what_is_news_is_announced_and_nothing_else(t):
    process, server = start(t, {"key": "user:{id}", "mode": "versioned"}, {"key": "plain:{id}"}, {"key": "user:{id}:*", "mode": "scan"},
                            {"key": "tag:{id}", "mode": "tag"}, announce={"channel": "invalidated"})
    cache, listener = reader(server), Listener(server, "invalidated")
    server.client().set("user:1:page", "x"), server.client().sadd("tag:1", "plain:member"), server.client().set("plain:member", "x")
    user(t, 1, 5, name="a"), t.settle()
    heard = listener.messages(4)
    equal(sorted(essence(m)[1:] for m in heard), sorted([("user:1", "5", "changed"), ("plain:1", "5", "changed"),
                                                         ("user:1:page", None, "scan"), ("plain:member", None, "tag")]))
    equal(list(heard[0]), ["table", "key", "version", "reason", "pool", "at"])
    equal((heard[0]["table"], heard[0]["pool"]), ("users", "default"))
    assert abs(heard[0]["at"] / 1000 - server.client().time()[0]) < 60
    listener.heard = []
    cache.filled("user:1", 9, "i")
    user(t, 1, 7, name="g"), t.settle()   # KEPT
    user(t, 1, 7, name="g"), t.settle()   # SAME, no crash
    user(t, 1, 6, name="f"), t.settle()   # OLD
    user(t, 1, 10, _op="delete"), t.settle()
    heard = [essence(m)[1:] for m in listener.messages(6)]
    equal([m for m in heard if m[0] == "user:1"], [("user:1", "7", "changed"), ("user:1", "10", "deleted")])


def test_a_capped_stream_holds_the_announcements(t):
    process, server = start(t, {"key": "user:{id}", "mode": "versioned"}, announce={"stream": "invalidated", "max_len": 10})
    server.client().set("other", "x")
    for version in range(1, 400):
        user(t, version, version, name="a")
    t.settle()
    entries = server.client().xrange("invalidated")
    assert 10 <= len(entries) < 300, len(entries)
    equal(set(json.loads(entries[-1][1][b"message"])), {"table", "key", "version", "reason", "pool", "at"})
    equal(process.metric("sluice_announced_total"), 399)


def test_no_key_that_a_pattern_finds_goes_without_being_announced(t):
    process, server = start(t, SCAN, version=None, announce={"channel": "invalidated"})
    client = server.client()
    client.execute_command("ACL", "SETUSER", "sluice", "-publish")
    fill(client, "user:1:page:", 20)
    t.user(1, name="a")
    wait_for("it can't be told", lambda: process.metric("sluice_scan_failures_total"))
    listener = Listener(server, "invalidated")
    client.execute_command("ACL", "SETUSER", "sluice", "+publish")
    t.settle()
    equal({m["key"] for m in listener.messages(20)}, {f"user:1:page:{number}" for number in range(20)})
    equal(client.keys("user:1:*"), [])
    client.execute_command("ACL", "SETUSER", "sluice", "-multi")
    fill(client, "user:1:page:", 20)
    listener.heard = []
    process.kill(), process.start()
    t.user(1, name="b"), t.settle()
    equal(len(listener.messages(20)), 20)
    equal(client.keys("user:1:*"), [])


def test_a_key_of_bytes_is_announced_as_what_it_is(t):
    t.sql("CREATE TABLE users (id VARBINARY(16) PRIMARY KEY, name VARCHAR(20))")
    server = Redis(t.dir).up()
    t.own.append(server)
    t.sluice(cache={"url": server.url}, announce={"stream": "invalidated"}, tables={"users": {"invalidate": ["user:{id}", {"key": "user:{id}:*", "mode": "scan"}]}},
             sources=[{"streams": t.prefix + ":one", "table": "users"}])
    ids = [b"\xff\x00a", b"\xfe\x00a", b"plain"]
    server.client().set(b"user:" + ids[0] + b":page", "x")
    for value in ids:
        t.redis.xadd(t.prefix + ":one", {"id": value, "name": "x"})
    t.settle()
    told = [json.loads(entry[b"message"]) for _, entry in server.client().xrange("invalidated")]
    equal(sorted(base64.b64decode(m["key_base64"]) if "key_base64" in m else m["key"].encode() for m in told),
          sorted([b"user:" + value for value in ids] + [b"user:" + ids[0] + b":page"]))


def test_what_the_outbox_recalls_is_announced_again(t):
    """A stamped version is told after a crash as the outbox has it."""
    process, server = start(t, {"key": "user:{id}", "mode": "versioned"}, version={"column": "ver", "kind": "counter"}, announce={"stream": "invalidated"})
    cache, client = reader(server), server.client()
    t.user(1, name="a"), t.settle()
    client.delete("invalidated")
    client.execute_command("ACL", "SETUSER", "sluice", "-xadd")
    before = cache.hash("user:1")["m"]
    t.user(1, name="b")
    process.logged("event=cache_unreachable", "xadd")
    assert cache.hash("user:1")["m"] > before, "told, not announced"
    process.kill()
    client.execute_command("ACL", "SETUSER", "sluice", "+xadd")
    process.start(), t.settle()
    told = [essence(json.loads(entry[b"message"]))[1:] for _, entry in client.xrange("invalidated")]
    equal(told, [("user:1", str(t.row("SELECT ver FROM users")[0]), "changed")])


def test_no_member_leaves_its_set_before_it_is_announced(t):
    process, server = start(t, {"key": "tag:{id}", "mode": "tag"}, version=None, announce={"stream": "invalidated"})
    cache, client = reader(server), server.client()
    client.execute_command("ACL", "SETUSER", "sluice", "-xadd")
    cache.filled("user:page", NONE, "x"), client.sadd("tag:1", "user:page")
    t.user(1, name="a")
    process.logged("event=cache_unreachable", "xadd")
    equal(client.smembers("tag:1"), {b"user:page"})
    client.execute_command("ACL", "SETUSER", "sluice", "+xadd")
    t.settle()
    told = {essence(json.loads(entry[b"message"])) for _, entry in client.xrange("invalidated")}
    equal((told, client.exists("tag:1")), ({("users", "user:page", None, "tag")}, 0))


def test_a_put_value_whose_write_is_refused_is_announced(t):
    _, _ = start(t, {"key": "user:{id}", "mode": "versioned"}, announce={"stream": t.prefix + ":told"}, cache=lambda server: None)
    cache = Cache(t.redis)
    cache.forget("user:1")
    equal(cache.put("user:1", t.stream(1), 58, 0, "x", HOUR, 1000, "id", 1, "credits", "many")[0], "OK")
    t.settle()
    equal((t.reasons(), t.redis.hexists("user:1", "p")), (["bad_value"], False))
    told = [json.loads(entry[b"message"]) for _, entry in t.redis.xrange(t.prefix + ":told")]
    equal([essence(m) for m in told], [("users", "user:1", None, "unversioned")])


def test_an_announcement_lost_in_a_crash_is_made_again(t):
    """Told, then dead before it could announce; a reader refilled before the replay: SAME, and announced all the same."""
    process, server = start(t, {"key": "user:{id}", "mode": "versioned"}, announce={"channel": "invalidated"})
    cache, client = reader(server), server.client()
    user(t, 1, 1, name="a"), t.settle()
    client.execute_command("ACL", "SETUSER", "sluice", "-publish")
    user(t, 1, 2, name="b")
    wait_for("told, not announced", lambda: cache.hash("user:1").get("m", "")[19:20] == "2")
    assert t.behind(), "done waits for the announcement"
    process.kill()
    cache.filled("user:1", 2, "b")
    listener = Listener(server, "invalidated")
    client.execute_command("ACL", "SETUSER", "sluice", "+publish")
    process.start(), t.settle()
    equal([essence(m)[1:] for m in listener.messages(1)], [("user:1", "2", "changed")])
    equal(cache.get("user:1")[:2], ["HIT", "b"])
