"""
What a network does between sluice and its servers, under live traffic: in the end the tables, dead letters and cache are
what the model says, it was visible, and it is over soon after.
"""
import contextlib, time
from fault_proxy import TO_CLIENT, TO_SERVER, FaultProxy
from model import TABLES, Model, add_entries
from support import Redis, equal, limit, wait_for

SOON = 30  # seconds from the end of a fault until all is written


class Net:
    """A sluice whose three servers are behind proxies, and traffic."""

    def __init__(self, t, seed, **more):
        self.t, self.model = t, Model(seed, t.prefix)
        for statement in TABLES.split(";\n"):
            t.sql(statement)
        cache = Redis(t.dir).up()
        t.own.append(cache)
        self.cache, self.stale = cache.client(), 0
        self.proxies = {"redis": FaultProxy(t.redis_server.port).start(), "mysql": FaultProxy(t.mysql.port).start(),
                        "cache": FaultProxy(cache.port).start()}
        self.sluice = t.sluice(
            redis={"url": t.redis_server.url_at(self.proxies["redis"].port), "timeout": "1s", "connect_timeout": "1s"},
            mysql={"url": t.mysql.url_at(self.proxies["mysql"].port, t.db), "timeout": "2s", "connect_timeout": "1s"},
            cache={"url": cache.url_at(self.proxies["cache"].port), "timeout": "1s", "connect_timeout": "1s"}, **self.model.settings(), **more)
        self.add(200)
        t.settle()

    def __getitem__(self, which):
        return self.proxies[which]

    def add(self, count, pause=0.0):
        for _ in range(0, count, 20):
            entries = [self.model.entry() for _ in range(20)]
            for entry in entries:
                if entry[3] and self.stale % 5 == 0:
                    self.cache.set(entry[3], "old")
                self.stale += 1
            add_entries(self.t.redis, entries)
            time.sleep(pause)

    def until(self, what, probe):
        """Traffic until then; the back-off of what was lost before may take a while."""
        wait_for(what, lambda: self.add(20, 0.02) or probe())

    def settle(self, seconds=SOON):
        self.t.settle(seconds)

    def check(self):
        for proxy in self.proxies.values():
            proxy.heal()
        self.add(100)
        self.settle()
        wrong = self.model.differences(self.t)
        assert not wrong, "\n".join(wrong)
        wait_for("no key is stale", lambda: not self.cache.keys("user:*"))
        assert self.sluice.alive()
        wait_for("healthy again", lambda: self.sluice.get("/healthz")[0] == 200)
        equal([lane["state"] for lane in self.sluice.status()["lanes"] if lane["state"] not in ("open", "owned")], [])

    def seen(self, which):
        """The outage shows."""
        wait_for(f"{which} away is visible", lambda: self.sluice.status()["breakers"][which]["state"] != "closed")
        equal((self.sluice.get("/healthz")[0], self.sluice.get("/livez")[0], self.sluice.get("/readyz")[0]), (503, 200, 200))


@contextlib.contextmanager
def network(t, seed, **more):
    net = Net(t, seed, **more)
    try:
        yield net
        net.check()
    finally:
        for proxy in net.proxies.values():
            proxy.stop()


@limit(200)
def test_slow_networks_only_slow_it_down(t):
    with network(t, 1) as net:
        for which in net.proxies:
            for fault in (lambda p: p.delay(0.002), lambda p: p.delay(0.05), lambda p: p.bandwidth(60_000), lambda p: p.pieces(1)):
                fault(net[which])
                net.add(60)
                net.settle(60)  # what is refused costs a round trip an entry
                net[which].heal()
        equal(net.sluice.metric("sluice_dependency_failures_total"), 0, "slow is not away")
        net["redis"].delay(0.01), net["mysql"].delay(0.05), net["cache"].delay(0.01)
        net.add(300, 0.01)
        net.settle(60)


@limit(90)
def test_resets_at_any_moment(t):
    with network(t, 2) as net:
        for number in range(30):
            net.add(60)
            time.sleep(net.model.random.random() * 0.03)
            net[net.model.random.choice(["redis", "mysql", "cache"])].cut()
            if number % 10 == 9:
                net.settle()


@limit(90)
def test_one_way_closed_is_a_connection_lost(t):
    with network(t, 3) as net:
        for which in net.proxies:
            for direction in (TO_CLIENT, TO_SERVER):
                net[which].half_close(direction)
                net.add(60)
                net.settle()


@limit(120)
def test_half_open_connections_are_given_up(t):
    """Nobody says a word: each wait has an end.  A MySQL session that nobody ends keeps its locks for its own time-out."""
    with network(t, 4) as net:
        for which in net.proxies:
            net.add(60)
            net[which].half_open()
            net.add(60)
            net.settle(30)
            net[which].cut()
        for which in net.proxies:
            net[which].half_open(new=True)
            net.add(60, 0.1)
            net.seen(which)
            net[which].heal()
            net.settle(30)


@limit(90)
def test_frozen_and_refused_servers_are_waited_for(t):
    with network(t, 5) as net:
        for which in net.proxies:
            for begin, end in ((FaultProxy.freeze, FaultProxy.resume), (lambda p: (p.refuse(), p.cut()), FaultProxy.heal)):
                begin(net[which])
                net.add(60, 0.05)
                net.seen(which)
                end(net[which])
                net.settle()


@limit(90)
def test_a_lost_answer_is_never_taken_for_a_lost_request(t):
    with network(t, 6) as net:
        for which, pattern in [("mysql", "\x03COMMIT")] * 6 + [("mysql", "sluice_ledger"), ("mysql", "INSERT"), ("mysql", "GET_LOCK")] + \
                [("redis", "XREAD"), ("redis", "XTRIM"), ("redis", "XGROUP"), ("redis", "XINFO")] + [("cache", "UNLINK")] * 4:
            before = net[which].done("drop_reply")
            net[which].drop_reply(pattern)
            if pattern == "GET_LOCK":
                net[which].cut()
            net.until(f"an answer to {pattern} is lost", lambda: net[which].done("drop_reply") > before)
            net.settle()  # else the back-off of one adds to that of the next
        net.settle()
        assert net.sluice.alive()


@limit(120)
def test_a_corrupt_byte_where_it_can_be_seen_is_never_applied(t):
    """Lengths, types and sequence numbers: the protocols have no checksum over values, that is TCP's or TLS's."""
    with network(t, 7) as net:
        for which, direction, after in [("mysql", TO_CLIENT, n) for n in (0, 1, 2, 3)] + [("mysql", TO_SERVER, n) for n in (1, 2, 3)] + \
                [("redis", TO_CLIENT, 0), ("redis", TO_CLIENT, 2), ("redis", TO_SERVER, 0), ("redis", TO_SERVER, 2),
                 ("cache", TO_CLIENT, 0), ("cache", TO_SERVER, 0)]:
            before = net[which].done("corrupt")
            net[which].corrupt(direction, after=after)
            net.until("a byte is corrupt", lambda: net[which].done("corrupt") > before)
            assert net.sluice.alive(), f"{which} {direction} {after}"
            net.settle(30)
