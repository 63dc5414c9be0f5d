"""Each change exactly once, whatever dies, and however often."""
import os, random, signal, time
from commit_proxy import CommitProxy
from support import equal, lane_of, limit, stays, text_of, wait_for

LANES = 4
TABLES = """CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(40), credits BIGINT NOT NULL DEFAULT 0, hits INT UNSIGNED)"""


class Model:
    """What the table must be after the entries, one by one."""

    def __init__(self, seed, keys):
        self.random, self.keys, self.rows, self.dead = random.Random(seed), keys, {}, 0

    def change(self):
        rnd = self.random
        key = min(int(rnd.paretovariate(0.8)), self.keys)
        what = rnd.choices(["upsert", "update", "delete", "incr", "bad"], [35, 15, 5, 45, 0.2])[0]
        fields = {"_op": what, "id": key}
        row = self.rows.get(key)
        if what == "bad":
            self.dead += 1
            return key, {"id": key, "nosuch": 1}
        if what == "delete":
            self.rows.pop(key, None)
        elif what == "incr":
            row = self.rows.setdefault(key, [None, 0, None])
            credits, hits = rnd.randint(-50, 50), rnd.randint(0, 3)
            row[1] += credits
            row[2] = (row[2] or 0) + hits
            fields.update(credits=credits, hits=hits)
        else:
            fields["name"] = name = f"n{rnd.randint(0, 10**9)}"
            if what == "upsert":
                row = self.rows.setdefault(key, [None, 0, None])
            if row is not None:
                row[0] = name
                if rnd.random() < 0.3:
                    row[1] = fields["credits"] = rnd.randint(-1000, 1000)
            elif rnd.random() < 0.3:
                fields["credits"] = 5
        return key, fields

    def table(self):
        return tuple((key, *row) for key, row in sorted(self.rows.items()))


def produce(t, model, count):
    prefix = t.prefix + ":users"
    t.add_many((lane_of(prefix, key, LANES), fields) for key, fields in (model.change() for _ in range(count)))


def start(t, **more):
    t.sql(TABLES)
    return t.sluice(sources=[{"streams": t.prefix + ":users:{0..%d}" % (LANES - 1), "table": "users"}], **more)


def check(t, model):
    t.settle(40)
    got = t.sql("SELECT id, name, credits, hits FROM users ORDER BY id")
    wrong = sorted(set(got) ^ set(model.table()))
    assert not wrong, f"{len(wrong)} rows differ, such as {wrong[:4]}"
    equal(len(t.dead()), model.dead, "dead letters")


@limit(200)
def test_fifty_kills_lose_and_repeat_nothing(t):
    kills, rnd, model = int(os.environ.get("KILLS") or 50), random.Random(11), Model(11, 400)
    process = start(t, workers=2, batch={"max_rows": 100}, tables={"users": {"invalidate": ["user:{id}"]}})
    places = lambda: {name: row["position"] for name, row in t.ledger().items()}
    for number in range(kills):
        before = places()
        produce(t, model, rnd.randint(500, 2000))
        if number % 5:  # in the middle of its work; else wherever its start has come to
            wait_for("it works", lambda: places() != before, every=0.002)
            time.sleep(0.05 * rnd.random())
        else:
            time.sleep(rnd.random())
        process.kill()
        process.start()
    check(t, model)


@limit(60)
def test_a_session_killed_at_any_moment_repeats_nothing(t):
    """The in-doubt COMMIT: the connection goes, the process stays."""
    model, rnd = Model(13, 200), random.Random(13)
    process = start(t)
    for _ in range(40):
        produce(t, model, 300)
        time.sleep(rnd.random() * 0.05)
        for (session,) in t.mysql.sql("SELECT id FROM information_schema.processlist WHERE db = %s", (t.db,)):
            try:
                t.mysql.sql(f"KILL {session}")
            except Exception as error:
                assert "Unknown thread" in str(error), error
    check(t, model)
    assert process.alive()


def behind(t, proxy):
    return {"url": t.mysql.url(t.db).replace(str(t.mysql.port), str(proxy.port))}


@limit(60)
def lose_commits(t, how):
    """Increments while five COMMITs get lost; how many of them sluice found committed."""
    t.users()
    proxy = CommitProxy(t.mysql.port, "`users`")
    process = t.sluice(mysql=behind(t, proxy))
    count = 0
    for lost in range(1, 6):
        proxy.lose = how
        for _ in range(40):
            for key in range(5):
                t.user(key, _op="incr", credits=1)
            count += 1
        wait_for("a lost COMMIT", lambda: proxy.lost == lost)
        t.user(9, _op="incr", credits=1)
    t.settle()
    proxy.close()
    equal(t.sql("SELECT id, credits FROM users ORDER BY id"), (*((key, count) for key in range(5)), (9, 5)))
    equal(t.dead(), ())
    return len(process.events("commit_settled"))


def test_a_commit_whose_reply_is_lost_counts_once(t):
    equal(lose_commits(t, "reply"), 5)


def test_a_commit_that_never_arrived_is_done_again(t):
    equal(lose_commits(t, "statement"), 0)


def test_a_commit_that_arrives_after_the_next_login_does_nothing_twice(t):
    """It may come before the old session is killed, or find it gone."""
    assert lose_commits(t, "late") <= 5


def test_two_processes_with_one_file_share_nothing_twice(t):
    model = Model(14, 200)
    first = start(t)
    produce(t, model, 3000)
    t.settle()
    second = t.sluice(path=first.argv[-1])
    second.port()
    for _ in range(5):
        produce(t, model, 1000)
        time.sleep(0.2)
    equal({text_of(row["owner"]) for row in t.ledger().values()} != {""}, True, "an owner is named")
    first.kill()
    produce(t, model, 1000)
    check(t, model)  # the second took over
    assert second.alive()
    third = t.sluice(path=first.argv[-1])
    third.port()
    equal(second.stop(), 0)
    produce(t, model, 1000)
    check(t, model)
    assert third.alive()


@limit(60)
def test_a_frozen_owner_that_wakes_up_writes_nothing_again(t):
    model = Model(15, 200)
    first = start(t)
    produce(t, model, 2000)
    t.settle()
    second = t.sluice(path=first.argv[-1])
    second.port()
    produce(t, model, 4000)
    first.signal(signal.SIGSTOP)
    produce(t, model, 2000)
    wait_for("the second takes over", lambda: not t.behind(), 30, 0.1)
    first.signal(signal.SIGCONT)
    produce(t, model, 2000)
    check(t, model)
    assert first.alive() and second.alive()


def test_sigterm_finishes_and_exits_0(t):
    model = Model(16, 200)
    process = start(t)
    produce(t, model, 5000)
    wait_for("it has begun", lambda: t.row("SELECT COUNT(*) FROM users")[0] > 0)
    equal(process.stop(), 0)
    ledger = t.ledger()
    equal([name for name, row in ledger.items() if row["position"] != row["done"]], [], "done is behind position")
    process.start()
    check(t, model)
    wait_for("it hears signals", lambda: process.status()["totals"]["lanes_owned"] > 0)
    equal(process.stop(), 0)


def test_sigterm_with_mysql_dead_exits_75_and_says_what_is_left(t):
    t.own_mysql()
    model = Model(17, 200)
    process = start(t, shutdown_timeout="2s")
    produce(t, model, 500)
    check(t, model)
    t.mysql.kill()
    produce(t, model, 500)
    time.sleep(0.3)
    process.signal(signal.SIGTERM)
    equal(process.wait(15), 75)
    process.logged("event=stopped_with_work_left", seconds=2)
    assert process.events("left_in_stream"), "it does not say what is left: " + process.text()[-300:]
    t.mysql.up()
    process.start()
    check(t, model)


def test_a_second_sigterm_exits_at_once(t):
    t.own_mysql()
    process = start(t, shutdown_timeout="60s")
    t.redis.xadd(t.prefix + ":users:0", {"id": 1, "name": "x"})
    t.settle()
    t.mysql.kill()
    t.redis.xadd(t.prefix + ":users:0", {"id": 1, "name": "y"})
    wait_for("it hears signals, and of MySQL", lambda: process.status()["breakers"]["mysql"]["state"] != "closed")
    process.signal(signal.SIGTERM)
    stays("it waits for MySQL", process.alive, 1)
    process.signal(signal.SIGTERM)
    assert process.wait(15) != 0


def test_the_end_of_a_look_at_the_tables_may_be_lost(t):
    """The batches in hand were built for the tables of before, and they must still be there."""
    t.users()
    proxy = CommitProxy(t.mysql.port, "information_schema.triggers")
    t.sluice(mysql=behind(t, proxy))
    t.user(1, name="n")
    t.settle()
    t.user(1, c1=1)  # no such column: look again
    count = 0
    for _ in range(3):  # and so do the next two tries, with another batch filling
        proxy.lose = "reply"
        for _ in range(1000):
            count += 1
            t.add_many((t.stream(key), {"_op": "incr", "id": key, "credits": 1}) for key in range(10, 20))
            time.sleep(0.005)
            if proxy.lose is None:
                break
    t.settle()
    proxy.close()
    equal(proxy.lost, 3)
    equal(t.row("SELECT MIN(credits), MAX(credits), COUNT(*) FROM users WHERE id >= 10"), (count, count, 10))
