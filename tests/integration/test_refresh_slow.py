"""Refresh ahead before a database that becomes slow, goes away and comes back, and what the write path feels of it."""
import os, statistics, subprocess, sys, threading, time
import fault_proxy
from cache_functions import Cache
from refreshing import articles, counters, key
from support import equal, limit, wait_for

# `make zipf` takes its time
LONG = "ZIPF_SECONDS" in os.environ
WRITES = {"well": 200, "slow": 6} if LONG else {"well": 10, "slow": 0}
HOT, STALE_MAX, TTL = 4, 5, 3


class Proxy:
    """Before MySQL, in a process of its own: what this one does must not add to its delays."""

    def __init__(self, port):
        self.child = subprocess.Popen([sys.executable, "-B", fault_proxy.__file__, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())

    def tell(self, *orders):
        for order in orders:
            self.child.stdin.write(order + "\n")
        self.child.stdin.flush()

    def kill(self):
        self.child.kill()
        self.child.communicate()


def before(t):
    """A proxy before MySQL, and the configuration with refresh."""
    t.proxy = Proxy(t.mysql.port)
    t.own.append(t.proxy)
    settings = articles(t, 30, ttl=f"{TTL}s", stale_max=f"{STALE_MAX}s", threshold=30)
    settings["mysql"] = {"url": t.mysql.url_at(t.proxy.port, t.db)}
    settings["refresh"] |= {"failures": 3, "open_for": "2s"}
    return settings


def write_latency(t, what, first):
    """Seconds from XADD to the row, seen past the proxy; the median but for the first one."""
    connection, took = t.mysql.connect(t.db), []
    with connection.cursor() as cursor:
        for number in range(first, first + WRITES[what]):
            begun = time.monotonic()
            t.redis.xadd(t.prefix + ":a", {"id": 30, "views": number, "_version": number})

            def written():
                cursor.execute("SELECT views FROM articles WHERE id = 30")
                return cursor.fetchone()[0] == number
            wait_for("it is written", written, 60, 0.002)
            took.append(time.monotonic() - begun)
    connection.close()
    return statistics.median(took[1:]) if took else 0


def without_refresh(t, settings):
    """The same processes but for refresh, in the same conditions."""
    settings = {**settings, "tables": {**settings["tables"], "articles": {**settings["tables"]["articles"], "refresh": None}}}
    settings["tables"]["articles"].pop("refresh")
    sluice = t.sluice(**settings)
    sluice.logged("lane_owned")
    with Readers(t):
        took = [write_latency(t, "well", 100)]
        t.proxy.tell("delay 0.25")
        took.append(write_latency(t, "slow", 400))
        t.proxy.tell("heal")
    equal(sluice.stop(), 0)
    return took


class Readers:
    """One who reads the hot keys over and over, and loads what it misses as long as there is a database."""

    def __init__(self, t):
        self.cache, self.names = Cache(t.redis, load=False), [key(t, n) for n in range(1, HOT + 1)]
        self.stop, self.there, self.misses, self.last = threading.Event(), True, 0, {}
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            for name in self.names:
                answer = self.cache.get(name, 500, 20, 1)
                self.last[name] = answer[0]
                self.misses += answer[0] == "LOAD"
                if answer[0] == "LOAD" and self.there:
                    self.cache.fill(name, answer[1], 1, "x", 1000 * TTL)
                elif answer[0] == "LOAD":
                    self.cache.release(name, answer[1])
            time.sleep(0.01)

    def answers(self):
        return set(self.last.values())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


@limit(600 if LONG else 120)
def test_a_slow_database_then_none_then_one_again(t):
    settings = before(t)
    off = without_refresh(t, settings)
    sluice = t.sluice(**settings)
    breaker = lambda: sluice.status()["breakers"]["mysql_read"]
    with Readers(t) as readers:
        wait_for("two rounds of loads", lambda: counters(sluice)["loaded"] >= 2 * HOT)
        on = [write_latency(t, "well", 1000)]
        equal(counters(sluice)["rate_limit"], 1000)

        t.proxy.tell("delay 0.25")
        t.redis.xadd(t.prefix + ":a", {"id": 29, "views": 1, "_version": 2})
        wait_for("fewer loads are allowed", lambda: counters(sluice)["rate_limit"] <= 250)
        on.append(write_latency(t, "slow", 2000))
        slow = counters(sluice)
        assert 0.5 <= slow["last_load_seconds"] < 2, slow
        # a key that was over its time within the first slow load could not be saved
        wait_for("each was loaded since", lambda: counters(sluice)["loaded"] >= slow["loaded"] + HOT - 1, 40)
        misses, slow = readers.misses, counters(sluice)
        wait_for("it loads what is due", lambda: counters(sluice)["loaded"] >= slow["loaded"] + HOT + 2, 40)
        # a busy machine adds to what a load takes
        assert readers.misses - misses <= HOT, (readers.misses, misses)
        wait_for("rows are written meanwhile", lambda: t.row("SELECT views FROM articles WHERE id = 29") == (1,))
        equal(breaker()["state"], "closed")

        readers.there = False
        t.proxy.tell("delay 0", "refuse", "cut")
        away, misses = time.monotonic(), readers.misses
        wait_for("the breaker", lambda: breaker()["state"] == "open")
        wait_for("all are stretched", lambda: counters(sluice)["stretched"] == HOT)
        code, health = sluice.get("/healthz")
        assert code == 503 and "mysql_read" in health and "served over their time" in health, health
        wait_for("all are served stale", lambda: readers.answers() == {"STALE"}, 4)
        equal(readers.misses, misses)
        gone = wait_for("stale_max is over", lambda: readers.misses > misses and time.monotonic() - away, STALE_MAX + 2 * TTL)
        # a value had up to a TTL left when MySQL went away; the last stretch ends before stale_max
        assert STALE_MAX - 4 <= gone <= STALE_MAX + 1.1 * TTL + 1, gone
        wait_for("all are over their time", lambda: not readers.answers() & {"HIT", "STALE"}, STALE_MAX + 2 * TTL)
        t.redis.xadd(t.prefix + ":a", {"id": 30, "views": 3000, "_version": 3000})

        t.proxy.tell("heal")
        readers.there = True
        wait_for("loads go on", lambda: readers.answers() == {"HIT"})
        wait_for("the breaker", lambda: breaker()["state"] == "closed")
        wait_for("what came meanwhile is written", lambda: t.row("SELECT views FROM articles WHERE id = 30") == (3000,))
        misses, back = readers.misses, counters(sluice)
        wait_for("two more rounds", lambda: counters(sluice)["loaded"] >= back["loaded"] + 2 * HOT)
        equal(readers.misses, misses)
        assert counters(sluice)["rate_limit"] > back["rate_limit"], (back, counters(sluice))
    ms = lambda seconds: f"{1000 * seconds:.1f} ms"
    print(f"# XADD to row, median: without refresh {ms(off[0])}, with {ms(on[0])} (ratio {on[0] / off[0]:.2f})")
    if LONG:
        print(f"# the same before a MySQL that answers after 500 ms: {ms(off[1])} and {ms(on[1])} ({on[1] / off[1]:.2f})")
    print(f"# without MySQL hot keys were served for {gone:.1f} s, their TTL {TTL} s and stale_max {STALE_MAX} s")


@limit(60)
def test_a_database_that_hangs_costs_no_reader_its_value(t):
    settings = before(t)
    settings["tables"]["articles"]["refresh"] |= {"ttl": "2s", "stale_max": "30s"}
    sluice = t.sluice(**settings)
    breaker = lambda: sluice.status()["breakers"]["mysql_read"]
    with Readers(t) as readers:
        wait_for("two rounds of loads", lambda: counters(sluice)["loaded"] >= 2 * HOT)
        readers.there, misses = False, readers.misses
        t.proxy.tell("freeze")
        # the values are over within some two seconds, a SELECT is waited for for five
        wait_for("all are served stale", lambda: readers.answers() == {"STALE"})
        equal(breaker()["failures_total"], 0, "it hangs, nothing has failed")
        # a busy machine may come too late for the first
        assert readers.misses - misses <= HOT, (readers.misses, misses)
        misses = readers.misses
        wait_for("the SELECT is given up", lambda: breaker()["failures_total"] > 0)
        equal(readers.misses, misses)
        t.proxy.tell("resume")
        wait_for("loads go on", lambda: readers.answers() == {"HIT"})
        equal(readers.misses, misses)
