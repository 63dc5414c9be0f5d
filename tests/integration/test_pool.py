"""Many processes with one file share its lanes, whoever comes, goes, dies or stands still."""
import random, signal, socket, struct, threading, time
import redis
from support import equal, lane_of, limit, other_mysql, stays, text_of, wait_for

LANES = 8
TABLE = "CREATE TABLE users (id INT PRIMARY KEY, credits BIGINT NOT NULL DEFAULT 0, last BIGINT)"


def counts(processes):
    return [process.status()["totals"]["lanes_owned"] for process in processes]


def even(processes, lanes=LANES):
    """The lanes of each, once they are all owned and differ by at most one."""
    def shared():
        owned = counts(processes)
        return owned if sum(owned) == lanes and max(owned) - min(owned) <= 1 else None
    return shared


def owner_sets(processes):
    return [{lane["stream"] for lane in process.status()["lanes"] if lane["state"] != "free"} for process in processes]


class Traffic:
    """Increments, and a number that only rises, into every lane, until it is stopped."""

    def __init__(self, t, lanes=LANES, keys=64):
        self.t, self.lanes, self.keys, self.sums, self.number = t, lanes, keys, {}, 0
        self.random, self.on = random.Random(t.name), True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        client = self.t.redis
        while self.on:
            pipe = client.pipeline(transaction=False)
            for _ in range(20):
                key, credits = self.random.randrange(self.keys), self.random.randint(-9, 9)
                self.number += 1
                stream = lane_of(self.t.prefix + ":users", key, self.lanes)
                pipe.xadd(stream, {"_op": "incr", "id": key, "credits": credits})
                pipe.xadd(stream, {"id": key, "last": self.number})
                total, _ = self.sums.get(key, (0, 0))
                self.sums[key] = (total + credits, self.number)
            try:
                pipe.execute()
            except redis.RedisError:
                return  # the servers of a test that failed; in any other the sums would be wrong
            time.sleep(0.01)

    def check(self, seconds=40):
        """Everything is applied, once, and each row's changes in their order."""
        self.on = False
        self.thread.join()
        self.t.settle(seconds)
        equal({key: (credits, last) for key, credits, last in self.t.sql("SELECT id, credits, last FROM users")}, self.sums)
        equal(self.t.dead(), ())


def start(t, processes, lanes=LANES, **more):
    t.sql(TABLE)
    sources = [{"streams": t.prefix + ":users:{0..%d}" % (lanes - 1), "table": "users"}]
    path = t.write_config(sources=sources, **more)
    return path, [t.sluice(path) for _ in range(processes)]


def fenced(process):
    return process.metric("sluice_fenced_total")


@limit(90)
def test_who_joins_has_its_share_and_who_leaves_loses_it(t):
    path, pool = start(t, 1)
    wait_for("one owns them all", even(pool))
    traffic = Traffic(t)
    for want in ([4, 4], [2, 3, 3]):
        pool.append(t.sluice(path))
        pool[-1].port()
        began = time.monotonic()
        equal(sorted(wait_for("the joiner has its share", even(pool), 8)), want)
        print(f"      joined within {time.monotonic() - began:.1f} s")
    equal(len(set.union(*owner_sets(pool))), LANES, "no lane has two owners")
    leaver = pool.pop(0)
    equal(leaver.stop(), 0)
    equal(wait_for("the others have its lanes", even(pool), 8), [4, 4])
    equal(len(t.own_table("sluice_worker")), 2, "who leaves takes its row along")
    equal([fenced(process) for process in pool], [0, 0])
    traffic.check()


@limit(90)
def test_who_is_killed_loses_its_lanes_at_once(t):
    path, pool = start(t, 3)
    wait_for("shared", even(pool))
    traffic = Traffic(t)
    for _ in range(4):
        victim = pool.pop(0)
        victim.kill()
        wait_for("the others have its lanes", even(pool), 8)
        pool.append(t.sluice(path))
        wait_for("the next one has its share", even(pool), 8)
    traffic.check()


@limit(120)
def test_who_stands_still_is_fenced_and_carries_on_as_a_member(t):
    path, pool = start(t, 2)
    wait_for("shared", even(pool))
    traffic = Traffic(t)
    wait_for("traffic", lambda: traffic.number > 200)
    pool[0].signal(signal.SIGSTOP)
    wait_for("the other has its lanes", even(pool[1:]), 20)
    pool[0].signal(signal.SIGCONT)
    wait_for("it is a member again", even(pool), 8)
    assert fenced(pool[0]) > 0, "it did not notice"
    traffic.check()
    equal([process.alive() for process in pool], [True, True])


@limit(90)
def test_more_processes_than_lanes_stand_by_and_are_healthy(t):
    path, pool = start(t, 4, lanes=2)
    wait_for("shared", even(pool, 2))
    standbys = [process for process in pool if process.status()["totals"]["lanes_owned"] == 0]
    equal(len(standbys), 2)
    for process in standbys:
        wait_for("it knows that it stands by", lambda: process.status()["standby"])
        equal(process.get("/healthz")[0], 200)
        wait_for("it has seen all of them", lambda: process.metric("sluice_pool_members") == 4)
        assert ", standing by" in t.command("status", f"127.0.0.1:{process.port()}")[1]
    traffic = Traffic(t, lanes=2)
    owners = [process for process in pool if process not in standbys]
    equal(owners[0].stop(), 0)
    owners[1].kill()
    wait_for("the standbys have the lanes", even(standbys, 2), 20)
    traffic.check()


def two_numbers(t):
    """Processes of one and of three workers, which divide the lanes in other ways."""
    t.sql(TABLE)
    sources = [{"streams": t.prefix + ":users:{0..%d}" % (LANES - 1), "table": "users"}]
    return [t.write_config(sources=sources, workers=workers) for workers in (1, 3)]


@limit(120)
def test_other_numbers_of_workers_leave_no_lane_alone(t):
    one, three = two_numbers(t)
    pool = [t.sluice(one), t.sluice(three)]
    whole = lambda: sum(counts(pool)) == LANES
    wait_for("all lanes owned", whole)
    traffic = Traffic(t)
    pool.append(t.sluice(three))
    pool[2].port()
    wait_for("shared", lambda: whole() and min(counts(pool)) > 0)
    for leaver in (0, 0):
        process = pool.pop(leaver)
        process.stop() if leaver else process.kill()
        wait_for("all lanes owned", whole)
    traffic.check()


@limit(120)
def test_one_that_does_not_register_lives_beside_the_others(t):
    """As an older release: it owns by the lanes' locks alone."""
    path, pool = start(t, 1)
    wait_for("all owned", even(pool))
    traffic = Traffic(t)
    (member,) = [text_of(row["member"]) for row in t.own_table("sluice_worker")]
    t.sql("UPDATE sluice_worker SET pool = 'nobody sees it'")
    pool.append(t.sluice(path))
    pool[1].port()
    wait_for("each lane owned", lambda: sum(counts(pool)) == LANES)
    pool[0].kill()
    wait_for("the other has all", even(pool[1:]), 20)
    traffic.check()
    assert member.endswith("/1/0"), member


@limit(90)
def test_who_cannot_read_leaves_its_lanes_to_those_who_can(t):
    """Two ways to one Redis; one of them ends."""
    way = Way(t.redis_server.port)
    path, pool = start(t, 1)
    wait_for("all owned", even(pool))
    other = t.write_config(sources=t.config["sources"], redis={"url": f"redis://127.0.0.1:{way.port}", "timeout": "1s"})
    pool.append(t.sluice(other))
    wait_for("shared", even(pool), 20)
    traffic = Traffic(t)
    way.close()
    wait_for("who can read has all", even(pool[:1]), 20)
    wait_for("who can't has none", lambda: counts(pool)[1] == 0)
    way.open()
    wait_for("shared again", even(pool), 20)
    way.close()
    traffic.check()


@limit(120)
def test_a_member_that_takes_nothing_makes_no_lane_wander(t):
    path, pool = start(t, 1)
    wait_for("all owned", even(pool))
    traffic = Traffic(t)
    session = t.mysql.connect(t.db)
    with session.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('a member that is only a row', 0)")
        cursor.execute("INSERT INTO sluice_worker (member, pool, beat_at, session_lock, lanes, joined_at) VALUES"
                       " ('ghost/1/1/1/0', 'default', UTC_TIMESTAMP(3), 'a member that is only a row', 0, UTC_TIMESTAMP(6))")
    all_mine = lambda: counts(pool) == [LANES]
    given = lambda: len(pool[0].events("lane_given"))
    wait_for("it is offered its share", lambda: given() == LANES // 2)
    wait_for("what it left comes back", all_mine, 20)
    stays("that stays so a while", all_mine, 6)
    wait_for("it is offered again", lambda: given() == LANES)
    wait_for("what it left comes back", all_mine, 20)
    stays("that stays so longer", all_mine, 12)
    session.close()
    pool.append(t.sluice(path))
    wait_for("a member that takes them has its share at once", even(pool), 8)
    wait_for("the row of the dead is swept", lambda: len(t.own_table("sluice_worker")) == 2, 40)
    traffic.check()


@limit(60)
def test_a_lane_behind_a_row_lock_can_be_given_and_holds_nobody(t):
    path, pool = start(t, 1, lock_wait="1s")
    wait_for("all owned", even(pool))
    traffic = Traffic(t)
    wait_for("rows", lambda: t.row("SELECT COUNT(*) FROM users")[0] == 64)
    session = t.mysql.connect(t.db)
    session.begin()
    session.cursor().execute("SELECT * FROM users WHERE id = 7 FOR UPDATE")
    pool.append(t.sluice(path))
    wait_for("shared", even(pool), 20)
    seen = t.row("SELECT MAX(last) FROM users")[0]
    wait_for("the others go on", lambda: t.row("SELECT MAX(last) FROM users")[0] > seen + 200, 10)
    session.rollback()
    session.close()
    traffic.check()


# --- ownership by heartbeat

class Way:
    """A way to a server that can be closed, and can replace bytes on the way there."""

    def __init__(self, to, old=None, new=None):
        self.to, self.old, self.new, self.links = to, old, new, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.is_open = self.listener.getsockname()[1], True
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if not self.is_open:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.to))
            self.links += [client, server]
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, source, target, there):
        try:
            while data := source.recv(65536):
                target.sendall(data.replace(self.old, self.new) if there and self.old else data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.is_open = False
        for link in self.links:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.links.clear()

    def open(self):
        self.is_open = True


def swallowing(t, path_of):
    """A file that goes to MySQL by a way on which our wait_timeout becomes another."""
    way = Way(t.mysql.port, b" wait_timeout=10,", b" wait_timeout=99,")
    return t.write_config(sources=path_of["sources"], mysql={"url": t.mysql.url(t.db).replace(f":{t.mysql.port}/", f":{way.port}/")})


def has_beats(t):
    return sorted(row["session_lock"] == "" for row in t.own_table("sluice_worker"))


def stop_between_transactions(t, process):
    """Frozen within one it would keep its rows locked for as long as the server keeps its session: that's the way's doing."""
    old = lambda: set(t.mysql.sql("SELECT trx_mysql_thread_id, trx_started FROM information_schema.innodb_trx"))
    for _ in range(40):
        process.signal(signal.SIGSTOP)
        time.sleep(0.3)  # what was on its way has begun
        before = old()
        time.sleep(0.4)
        if not before & old():
            return
        process.signal(signal.SIGCONT)
        time.sleep(0.1 * random.random())
    raise AssertionError("it is always within a transaction")


@limit(120)
def test_where_wait_timeout_is_swallowed_members_live_by_their_heartbeat(t):
    start(t, 0)
    path = swallowing(t, t.config)
    pool = [t.sluice(path) for _ in range(2)]
    wait_for("shared", even(pool), 20)
    equal(has_beats(t), [True, True])
    for process in pool:
        equal(len(process.events("heartbeat_ownership")), 1)
    traffic = Traffic(t)
    third = t.sluice(path)
    wait_for("the joiner has its share", even([*pool, third]), 20)
    equal(third.stop(), 0)
    wait_for("its lanes move", even(pool), 8)
    stop_between_transactions(t, pool[0])
    wait_for("the other has the lanes of the one that stands still", even(pool[1:]), 20)
    pool[0].signal(signal.SIGCONT)
    wait_for("it is a member again", even(pool), 20)
    assert fenced(pool[0]) > 0, "it did not notice"
    pool[1].kill()
    wait_for("the lanes of the one that is killed", even(pool[:1]), 20)
    traffic.check()


@limit(120)
def test_members_by_heartbeat_and_by_session_respect_each_other(t):
    path, pool = start(t, 1)
    pool.append(t.sluice(swallowing(t, t.config)))
    wait_for("shared", even(pool), 20)
    equal(has_beats(t), [False, True])
    traffic = Traffic(t)
    sets = owner_sets(pool)
    stays("each keeps its own", lambda: owner_sets(pool) == sets, 4)
    equal([fenced(process) for process in pool], [0, 0])
    pool[0].kill()
    wait_for("the other has all", even(pool[1:]), 8)
    pool[0] = t.sluice(path)
    wait_for("shared", even(pool), 20)
    pool[1].kill()
    wait_for("the other has all", even(pool[:1]), 20)
    traffic.check()


# --- other servers

def short_pool(t, name):
    """Members of both kinds that join, die and leave."""
    t.mysql = other_mysql(t.dir, name)
    t.own.append(t.mysql)
    t.database()
    path, pool = start(t, 2)
    wait_for("shared", even(pool), 20)
    traffic = Traffic(t)
    pool.append(t.sluice(swallowing(t, t.config)))
    wait_for("shared with one that lives by its heartbeat", even(pool), 20)
    equal(has_beats(t), [False, False, True])
    pool.pop(0).kill()
    wait_for("shared by two", even(pool), 8)
    equal(pool.pop(0).stop(), 0)
    wait_for("the heartbeat has all", even(pool), 8)
    pool.append(t.sluice(path))
    wait_for("shared", even(pool), 20)
    pool.pop(0).kill()
    wait_for("all are the other's", even(pool), 20)
    traffic.check()


@limit(200)
def test_mysql_9(t):
    short_pool(t, "mysql9")


@limit(200)
def test_mariadb_11(t):
    short_pool(t, "mariadb11")
