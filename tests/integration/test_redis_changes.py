"""A Redis that is another one than before: rolled back, forked, replaced, emptied, full.  Each is an alarm by name, hides
nothing, and the work goes on."""
import json, os, shutil, time
from support import Redis, equal, limit, stays, stream_id, text_of, wait_for


def names(t):
    return dict(t.sql("SELECT id, name FROM users ORDER BY id"))


def alarm(t, here, why):
    """Wait for it, and for the log line that says what and where; returns that line."""
    wait_for(f"the alarm {why}", lambda: t.lane_status(here)["alarm"] == why, 30)
    return t.sluices[-1].logged("event=lane_alarm", f"why={why}", here)


def no_alarm(t):
    equal([lane["alarm"] for lane in t.sluices[-1].status()["lanes"]], [None, None])


def position(t, here):
    return text_of(t.ledger()[here]["position"])


def forks(t):
    """{entry: the id it carries} of the dead letters `fork`."""
    return {text_of(d["entry"]): dict(json.loads(text_of(d["payload"])))["id"] for d in t.dead() if text_of(d["reason"]) == "fork"}


def replica_of(t, server):
    """A second Redis that follows the first."""
    other = Redis(t.dir).up()
    t.own.append(other)
    other.client().replicaof("127.0.0.1", server.port)
    wait_for("it follows", lambda: other.client().info("replication")["master_link_status"] == "up")
    return other


def move_to(t, server):
    """What a name that leads elsewhere does: the old server's port is the new one's from now on."""
    t.redis_server = server


def restart_on(server, other):
    """The other server's data on the first one's address."""
    server.kill()
    shutil.rmtree(server.dir + "/appendonlydir", ignore_errors=True)
    shutil.copy(other, server.dir + "/dump.rdb")
    server.up()


def snapshot(server, name="copy.rdb"):
    server.client().save()
    path = os.path.join(server.dir, name)
    shutil.copy(server.dir + "/dump.rdb", path)
    return path


# --- what is kept

def test_entries_are_kept_as_long_as_keep_says(t):
    t.users()
    process = t.sluice(keep="4s")
    here = t.stream(1)
    for n in range(50):
        t.user(1, name=f"n{n}")
    t.settle()
    first, looks = int(text_of(t.redis.xrange(here, count=1)[0][0]).split("-")[0]), 0
    while True:
        length, (seconds, us) = t.redis.xlen(here), t.redis.time()
        if seconds * 1000 + us // 1000 - first >= 4000:
            break
        equal(length, 50)
        looks += 1
        time.sleep(0.05)
    assert looks, "a machine that slow shows nothing"
    wait_for("the lag is 0", lambda: t.lane_status(here)["lag"] == 0)
    wait_for("then all but the witness goes", lambda: t.redis.xlen(here) == 1, 20)
    equal(text_of(t.redis.xrange(here)[0][0]), position(t, here))
    process.stop()
    process.start()
    t.user(1, name="b")
    t.settle()
    no_alarm(t)


def test_the_lag_is_exact_also_where_entries_are_kept(t):
    t.own_mysql()
    t.users()
    t.sluice(keep="1h")
    here = t.stream(1)
    for n in range(30):
        t.user(1, name=f"n{n}")
    t.settle()
    wait_for("the lag is 0", lambda: t.lane_status(here)["lag"] == 0)
    t.mysql.kill()
    for n in range(7):
        t.user(1, name=f"m{n}")
    t.mysql.up()
    t.settle()
    group = lambda: next(g for g in t.redis.xinfo_groups(here) if g["name"] == b"sluice-default")
    wait_for("all read", lambda: group()["lag"] == 0 and group()["entries-read"] == 37)
    equal(t.redis.xlen(here), 37)
    no_alarm(t)


def test_keep_bytes_lets_the_oldest_go_early(t):
    """However the entries lie in time: nearly all are of one millisecond, a minute before the last."""
    t.users()
    t.sluice(keep="1h", keep_bytes="64KiB")
    here = t.stream(1)
    fields = {"id": 1, "name": "x" * 60, "email": "y" * 100}
    begin = int(time.time() * 1000) - 60000
    pipe = t.redis.pipeline(transaction=False)
    for n in range(3000):
        pipe.xadd(here, fields, id=f"{begin}-{n + 1}")
    pipe.execute()
    t.user(1, name="a")
    t.settle()
    wait_for("small enough", lambda: t.redis.memory_usage(here) < 80 * 1024, 30)
    stays("and no smaller", lambda: t.redis.xlen(here) > 100, 3)
    t.user(1, name="b")
    t.settle()
    no_alarm(t)


def test_our_own_trims_are_never_an_alarm(t):
    """With keep, over restarts, and beside another group."""
    t.users()
    here = t.stream(1)
    t.redis.xgroup_create(here, "audit", "0", mkstream=True)
    process = t.sluice(keep="1s")
    for round in range(4):
        for n in range(200):
            t.user(1, name=f"{round}-{n}")
        t.settle()
        t.redis.xreadgroup("audit", "me", {here: ">"}, count=150, noack=True)
        time.sleep(1.2)
        process.kill() if round % 2 else process.stop()
        process.start()
    t.user(1, name="end")
    t.settle()
    equal(names(t), {1: "end"})
    no_alarm(t)


# --- what is lost

def test_a_restart_from_an_old_snapshot_is_a_rollback(t):
    server = t.own_redis()
    t.users()
    process = t.sluice(keep="1h")
    here = t.stream(1)
    for n in range(10):
        t.user(1, _op="incr", credits=1)
    t.settle()
    wait_for("a checkpoint", lambda: text_of(t.ledger()[here]["checkpoints"] or ""))
    time.sleep(1.2)
    old = snapshot(server)
    for n in range(10):
        t.user(1, _op="incr", credits=1)
    t.settle()
    before = position(t, here)
    restart_on(server, old)
    line = alarm(t, here, "rollback")
    assert before in line, line
    last = t.redis.xinfo_stream(here)["last-generated-id"]
    assert stream_id(last) >= stream_id(before), "the stream was not lifted"
    for n in range(5):
        t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (25,))
    equal(forks(t), {}, "everything in the snapshot verifies")
    assert process.alive()


def test_entries_behind_a_rollback_that_nobody_can_know_are_dead_letters(t):
    """The restarted server takes new entries below the ledger's place before sluice sees it (a clock that is behind)."""
    server = t.own_redis()
    t.users()
    t.sluice(keep="1h")
    here = t.stream(1)
    t.user(1, _op="incr", credits=1)
    t.settle()
    time.sleep(1.2)
    old = snapshot(server)
    last = text_of(t.redis.xinfo_stream(here)["last-generated-id"])
    time.sleep(1.2)
    for n in range(10):
        t.user(1, _op="incr", credits=1)
    t.settle()
    process = t.sluices[-1]
    process.stop()
    restart_on(server, old)
    low = f"{int(last.split('-')[0]) + 1}-7"
    t.redis.xadd(here, {"_op": "incr", "id": 1, "credits": 1000}, id=low)
    process.start()
    alarm(t, here, "rollback")
    wait_for("the letter", lambda: forks(t) == {low: "1"})
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (12,))
    process.kill()
    process.start()
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (13,))
    equal(len(t.dead()), 1)


def test_a_kill_without_any_file_is_a_gap(t):
    server = t.own_redis()
    t.users()
    t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    server.kill()
    server.up()
    alarm(t, here, "gap")
    t.user(1, name="b")
    t.settle()
    equal(names(t), {1: "b"})


def test_a_kill_with_an_append_only_file_is_none(t):
    server = t.own_redis("--appendfsync", "always", durable=True)
    t.users()
    t.sluice(keep="1h")
    for round in range(3):
        for n in range(20):
            t.user(1, _op="incr", credits=1)
        server.kill()
        server.up()
    t.settle()
    equal(t.row("SELECT credits FROM users"), (60,))
    no_alarm(t)
    equal(t.dead(), ())


def test_a_planned_promotion_is_none(t):
    """The replica has everything; it is reached under the old address."""
    server = t.own_redis()
    t.users()
    process = t.sluice()
    here = t.stream(1)
    for n in range(20):
        t.user(1, _op="incr", credits=1)
    t.settle()
    time.sleep(1.2)
    other = replica_of(t, server)
    t.redis.wait(1, 5000)
    wait_for("the trim arrives", lambda: other.client().xlen(here) == t.redis.xlen(here))
    other.client().replicaof("NO", "ONE")
    server.kill()
    path = snapshot(other)
    restart_on(server, path)
    for n in range(5):
        t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (25,))
    no_alarm(t)
    equal(t.dead(), ())
    assert process.alive()


@limit(90)
def test_a_split_brain_is_a_fork_and_hides_nothing(t):
    """Both sides take writes: sluice applies the old side's, then meets the other side under the same address."""
    server = t.own_redis()
    t.users()
    process = t.sluice(keep="1h")
    here = t.stream(1)
    for n in range(5):
        t.user(1, _op="incr", credits=1)
    t.settle()
    time.sleep(1.5)
    other = replica_of(t, server)
    common = text_of(t.redis.xinfo_stream(here)["last-generated-id"])
    other.client().replicaof("NO", "ONE")
    there = other.client()
    low = text_of(there.xadd(here, {"_op": "incr", "id": 1, "credits": 100}))
    time.sleep(0.01)
    for n in range(5):
        t.user(1, _op="incr", credits=1)
    t.settle()
    before = position(t, here)
    twin = text_of(there.xadd(here, {"_op": "incr", "id": 1, "credits": 10_000}, id=before))
    high = text_of(there.xadd(here, {"_op": "incr", "id": 1, "credits": 1_000_000}))
    restart_on(server, snapshot(other))
    line = alarm(t, here, "fork")
    assert before in line and here in line, line
    t.settle()
    equal(sorted(forks(t)), sorted([low, twin]))
    equal(t.row("SELECT credits FROM users"), (1_000_010,), f"{common} {low} {before} {high}")
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (1_000_011,))
    equal(process.get("/healthz")[0], 503)
    equal(t.lane("ack", here)[0], 0)
    process.kill()
    process.start()
    t.user(1, _op="incr", credits=1)
    t.settle()
    no_alarm(t)
    equal(len(t.dead()), 2)


def test_a_server_that_became_a_replica_and_a_primary_again_is_looked_at(t):
    """REPLICAOF on the same process: another history behind an address that never went away."""
    server = t.own_redis()
    t.users()
    t.sluice()
    here = t.stream(1)
    for n in range(5):
        t.user(1, _op="incr", credits=1)
    t.settle()
    time.sleep(1.5)
    other = replica_of(t, server)
    other.client().replicaof("NO", "ONE")
    for n in range(5):
        t.user(1, _op="incr", credits=1)
    t.settle()
    before = position(t, here)
    time.sleep(0.01)
    other.client().xadd(here, {"_op": "incr", "id": 1, "credits": 100})
    t.redis.replicaof("127.0.0.1", other.port)
    wait_for("it follows", lambda: t.redis.info("replication")["master_link_status"] == "up")
    t.redis.replicaof("NO", "ONE")
    line = alarm(t, here, "fork")
    assert before in line, line
    t.settle()
    equal(t.row("SELECT credits FROM users"), (110,))


def test_entries_trimmed_while_we_are_away_are_a_gap_with_their_range(t):
    t.users()
    process = t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    process.stop()
    for n in range(20):
        t.user(1, name=f"n{n}")
    t.redis.xtrim(here, 3, approximate=False)
    first = text_of(t.redis.xrange(here)[0][0])
    process.start()
    line = alarm(t, here, "gap")
    assert first in line, line
    t.settle()
    equal(names(t), {1: "n19"})


def test_a_stream_renamed_away_is_a_gap(t):
    t.users()
    t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    t.redis.rename(here, here + ":old")
    alarm(t, here, "gap")
    t.user(1, name="b")
    t.settle()
    equal(names(t), {1: "b"})


def test_a_stream_begun_anew_with_low_ids_hides_none(t):
    t.users()
    process = t.sluice()
    here = t.stream(1)
    for n in range(10):
        t.user(1, _op="incr", credits=1)
    t.settle()
    process.stop()
    t.redis.delete(here)
    t.redis.xadd(here, {"_op": "incr", "id": 1, "credits": 100}, id="5-1")
    process.start()
    alarm(t, here, "rollback")
    wait_for("it is a dead letter", lambda: forks(t) == {"5-1": "1"})
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (11,))


def test_a_replaced_server_halts_with_its_identity(t):
    server = t.own_redis()
    t.users()
    t.sluice()
    here = t.stream(1)
    t.user(1, name="a")
    t.settle()
    other = Redis(t.dir).up()
    t.own.append(other)
    other.client().set(f"sluice:default:id:{here}", "somebody else's")
    other.client().xadd(here, {"id": 1, "name": "x"})
    path = snapshot(other)
    restart_on(server, path)
    wait_for("the lane halts", lambda: t.lane_state(here) == "halted" and t.lane_status(here)["why"] == "identity", 30)
    t.sluices[-1].logged("event=lane_halted", "why=identity", here)
    equal(names(t), {1: "a"})


def test_a_full_redis_stops_nothing_that_is_read(t):
    t.own_redis("--maxmemory-policy", "noeviction")
    t.users()
    process = t.sluice(keep="1h")
    here = t.stream(1)
    for n in range(100):
        t.user(1, _op="incr", credits=1)
    t.redis.config_set("maxmemory", 1)
    wait_for("all is written", lambda: t.row("SELECT credits FROM users") == (100,))
    time.sleep(1.5)
    t.redis.config_set("maxmemory", 0)
    t.user(1, _op="incr", credits=1)
    t.settle()
    equal(t.row("SELECT credits FROM users"), (101,))
    no_alarm(t)
    assert process.alive()


# --- wait_replicas

def test_wait_replicas_holds_a_batch_until_a_replica_has_it(t):
    server = t.own_redis()
    t.users()
    process = t.sluice(wait_replicas=1)
    here = t.stream(1)
    t.user(1, name="a")
    process.logged("event=replicas_missing")
    wait_for("it is visible", lambda: process.get("/healthz")[0] == 503)
    equal(t.sql("SELECT * FROM users"), ())
    replica_of(t, server)
    t.settle(30)
    equal(names(t), {1: "a"})
    wait_for("healthy again", lambda: process.get("/healthz")[0] == 200)
    t.user(1, name="b")
    t.settle()
    equal(names(t), {1: "b"})
    equal(t.lane_status(here)["alarm"], None)
