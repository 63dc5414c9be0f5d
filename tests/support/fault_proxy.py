#!/usr/bin/python3
"""
A TCP proxy on loopback that does to its connections what networks do.  One thread, no dependencies; what it does
depends only on what it was told and on the bytes that pass.

	proxy = FaultProxy(port_of_the_server).start()		clients connect to proxy.port
	proxy.delay(0.05)		each byte arrives that much later (seconds); 0 ends it
	proxy.bandwidth(20_000)		bytes a second; 0 ends it
	proxy.pieces(1)			at most so many bytes at a time; 0 ends it
	proxy.freeze() .resume()	nothing moves, new connections are not answered; nothing is lost
	proxy.refuse()			new connections are refused, until heal()
	proxy.cut()			RST to both sides of every connection
	proxy.half_close(TO_CLIENT)	FIN to one side; the other way stays open
	proxy.half_open(new=False)	all connections, with new also the coming ones until heal(), lose every byte and every FIN from
					now on: neither side hears of it
	proxy.corrupt(TO_SERVER)	the next byte that passes has one bit flipped; after=n: the one n bytes later
	proxy.replace(old, new)		the next time these bytes pass they become others, as many
	proxy.drop_reply(b"COMMIT")	the server gets the next request that holds this and answers; then the connection is reset
	proxy.heal()			every lasting fault ends; connections that lost bytes stay lost
	proxy.done(what)		how often a fault has happened, by the method's name; proxy.connections: open ones

direction is TO_SERVER, TO_CLIENT or BOTH (the default).  corrupt, replace and drop_reply wait for their bytes; `times` repeats
them, heal() forgets them.  Methods may be called from any thread, and have taken effect when they return.

	fault_proxy.py SERVER_PORT	prints its port and obeys lines such as "delay 0.05" or "drop_reply COMMIT" on standard input
"""
import collections, selectors, socket, struct, sys, threading, time

TO_SERVER, TO_CLIENT, BOTH = "to_server", "to_client", "both"
QUEUE_MAX = 256 * 1024  # what a direction holds before it reads no more
CARRY_SECONDS = 0.005  # how long the beginning of a pattern waits for its rest
REPLY_SECONDS = 1.0  # how long a dropped reply may take


class Way:
    """One direction's lasting faults."""
    def __init__(self):
        self.delay, self.rate, self.piece = 0.0, 0, 0


class Rule:
    """A fault that waits for its bytes."""
    def __init__(self, kind, ways, old=b"", new=b"", after=0, times=1):
        self.kind, self.ways, self.old, self.new, self.after, self.times = kind, ways, old, new, after, times


class Pipe:
    """One direction of one connection: what was read and is not yet due."""
    def __init__(self, link, way, source, sink):
        self.link, self.way, self.source, self.sink = link, way, source, sink
        self.queue, self.held = collections.deque(), 0  # (due, bytes)
        self.carry, self.carry_due, self.free_at = b"", 0.0, 0.0
        self.ended, self.closed = False, False  # FIN read; FIN sent on

    def put(self, data, faults):
        now = time.monotonic()
        step = faults.piece or (max(1, faults.rate // 50) if faults.rate else len(data)) or 1
        for at in range(0, len(data), step):
            piece = data[at:at + step]
            due = now + faults.delay
            if faults.rate:
                self.free_at = max(self.free_at, now) + len(piece) / faults.rate
                due += self.free_at - now
            self.queue.append((due, piece))
            self.held += len(piece)


class Link:
    """One client's connection and ours to the server."""
    def __init__(self, client, server):
        self.client, self.server, self.lost, self.reply_due = client, server, False, None
        self.pipes = [Pipe(self, TO_SERVER, client, server), Pipe(self, TO_CLIENT, server, client)]


class FaultProxy:
    def __init__(self, server_port, host="127.0.0.1", port=0):
        self.server, self.port = (host, server_port), port
        self.ways = {TO_SERVER: Way(), TO_CLIENT: Way()}
        self.links, self.rules, self.counts = [], [], collections.Counter()
        self.frozen, self.refusing, self.losing, self.stopped = False, False, False, False
        self.lock, self.selector, self.listener, self.bound = threading.RLock(), selectors.DefaultSelector(), None, None
        self.wake_read, self.wake_write = socket.socketpair()
        self.wake_read.setblocking(False)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        sys.setswitchinterval(0.0005)  # a busy thread of the test would hold up every packet by 5 ms
        self._listen()
        self.thread.start()
        return self

    def stop(self):
        with self.lock:
            self.stopped = True
            self._wake()
        if self.thread.is_alive():
            self.thread.join()

    # --- what a test says

    def delay(self, seconds, direction=BOTH):
        self._set("delay", float(seconds), direction)

    def bandwidth(self, bytes_per_second, direction=BOTH):
        self._set("rate", int(bytes_per_second), direction, "bandwidth")

    def pieces(self, size, direction=BOTH):
        self._set("piece", int(size), direction, "pieces")

    def freeze(self):
        with self.lock:
            self.frozen = True
            self._did("freeze")

    def resume(self):
        with self.lock:
            self.frozen = False
            self._did("resume")

    def refuse(self):
        with self.lock:
            self.refusing = True
            if self.listener:
                self.listener.shutdown(socket.SHUT_RDWR)  # at once; the thread may be waiting on it
                self.listener.close()
                self.listener, self.bound = None, self._bind()  # so that nobody else gets the port meanwhile
            self._did("refuse")

    def cut(self):
        with self.lock:
            for link in list(self.links):
                self._reset(link)
            self._did("cut")

    def half_close(self, direction):
        with self.lock:
            for link in self.links:
                for pipe in link.pipes:
                    if direction in (pipe.way, BOTH):
                        self._finish(pipe)
            self._did("half_close")

    def half_open(self, new=False):
        with self.lock:
            for link in self.links:
                self._lose(link)
            self.losing = bool(new)
            self._did("half_open")

    def corrupt(self, direction=BOTH, after=0, times=1):
        self._rule(Rule("corrupt", self._which(direction), after=int(after), times=int(times)))

    def replace(self, old, new, direction=BOTH, times=1):
        old, new = _bytes(old), _bytes(new)
        if not old or len(old) != len(new):
            raise ValueError("replace: the two must be of one length")
        self._rule(Rule("replace", self._which(direction), old, new, times=int(times)))

    def drop_reply(self, pattern, times=1):
        self._rule(Rule("drop_reply", (TO_SERVER,), _bytes(pattern), times=int(times)))

    def heal(self):
        with self.lock:
            for way in self.ways.values():
                way.__init__()
            self.rules.clear()
            self.frozen = self.refusing = self.losing = False
            if not self.listener and not self.stopped:
                self._listen()
            self._did("heal")

    def done(self, what):
        with self.lock:
            return self.counts[what]

    @property
    def connections(self):
        with self.lock:
            return len(self.links)

    # --- inside

    @staticmethod
    def _which(direction):
        if direction not in (TO_SERVER, TO_CLIENT, BOTH):
            raise ValueError(f"no direction: {direction}")
        return (TO_SERVER, TO_CLIENT) if direction == BOTH else (direction,)

    def _set(self, name, value, direction, what="delay"):
        with self.lock:
            for way in self._which(direction):
                setattr(self.ways[way], name, value)
            self._did(what)

    def _rule(self, rule):
        with self.lock:
            self.rules.append(rule)

    def _did(self, what):
        self.counts[what] += 1
        self._wake()

    def _wake(self):
        try:
            self.wake_write.send(b"x")
        except OSError:
            pass

    def _bind(self):
        side = socket.socket()
        side.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        side.bind(("127.0.0.1", self.port))
        return side

    def _listen(self):
        self.listener, self.bound = self.bound or self._bind(), None
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def _accept(self):
        try:
            client = self.listener.accept()[0]
        except OSError:
            return
        server = socket.socket()
        try:
            server.settimeout(2)
            server.connect(self.server)
        except OSError:
            self._abort(client)
            server.close()
            return
        link = Link(client, server)
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.links.append(link)
        if self.losing:
            self._lose(link)

    @staticmethod
    def _abort(side):
        """Close with RST."""
        try:
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        side.close()

    def _reset(self, link):
        self._abort(link.client)
        self._abort(link.server)
        if link in self.links:
            self.links.remove(link)

    def _lose(self, link):
        link.lost = True
        for pipe in link.pipes:
            pipe.queue.clear()
            pipe.held, pipe.carry = 0, b""

    def _finish(self, pipe):
        if not pipe.closed:
            pipe.closed = True
            try:
                pipe.sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def _read(self, pipe):
        try:
            data = pipe.source.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            if pipe.link.lost:
                pipe.ended = True  # the other side never hears of it
                if all(other.ended for other in pipe.link.pipes):
                    self._reset(pipe.link)
            else:
                self._reset(pipe.link)
            return
        if not data:
            pipe.ended = True
            if pipe.link.lost and all(other.ended for other in pipe.link.pipes):
                self._reset(pipe.link)
            return
        if pipe.link.lost or pipe.closed:
            return
        if pipe.link.reply_due is not None and pipe.way == TO_CLIENT:
            self.counts["drop_reply"] += 1
            self._reset(pipe.link)  # the server has answered
            return
        pipe.put(self._change(pipe, data), self.ways[pipe.way])

    def _change(self, pipe, data):
        """What the rules make of it; the beginning of a pattern may stay behind in carry."""
        data, pipe.carry = pipe.carry + data, b""
        for rule in list(self.rules):
            if pipe.way not in rule.ways:
                continue
            if rule.kind == "corrupt":
                if rule.after >= len(data):
                    rule.after -= len(data)
                    continue
                data = data[:rule.after] + bytes([data[rule.after] ^ 0x10]) + data[rule.after + 1:]
                rule.after = 0
                self._used(rule)
                continue
            at = data.find(rule.old)
            if at >= 0:
                if rule.kind == "replace":
                    data = data[:at] + rule.new + data[at + len(rule.old):]
                else:
                    pipe.link.reply_due = time.monotonic() + REPLY_SECONDS
                self._used(rule, count=rule.kind != "drop_reply")
                continue
            begun = next((n for n in range(min(len(rule.old) - 1, len(data)), 0, -1) if data.endswith(rule.old[:n])), 0)
            if begun > len(pipe.carry):
                pipe.carry = data[-begun:]
        if pipe.carry:
            data = data[:-len(pipe.carry)]
            pipe.carry_due = time.monotonic() + CARRY_SECONDS
        return data

    def _used(self, rule, count=True):
        rule.times -= 1
        if rule.times <= 0:
            self.rules.remove(rule)
        if count:
            self.counts[rule.kind] += 1

    def _write(self, pipe, now):
        while pipe.queue and pipe.queue[0][0] <= now:
            due, piece = pipe.queue[0]
            try:
                sent = pipe.sink.send(piece)
            except BlockingIOError:
                return
            except OSError:
                self._reset(pipe.link)
                return
            pipe.held -= sent
            if sent < len(piece):
                pipe.queue[0] = (due, piece[sent:])
                return
            pipe.queue.popleft()
        if pipe.ended and not pipe.queue and not pipe.carry:
            self._finish(pipe)
            if all(other.closed and other.ended for other in pipe.link.pipes):
                pipe.link.client.close()
                pipe.link.server.close()
                self.links.remove(pipe.link)

    def _turn(self, now):
        """Write what is due; returns the sockets to watch and when to look again."""
        wanted, next_at = {self.wake_read: selectors.EVENT_READ}, now + 1
        if self.listener and not self.frozen:
            wanted[self.listener] = selectors.EVENT_READ
        if self.frozen:
            return wanted, next_at
        for link in list(self.links):
            if link.reply_due is not None:
                if now >= link.reply_due:
                    self.counts["drop_reply"] += 1
                    self._reset(link)
                    continue
                next_at = min(next_at, link.reply_due)
            for pipe in link.pipes:
                if pipe.carry and now >= pipe.carry_due:
                    rest, pipe.carry = pipe.carry, b""
                    pipe.put(rest, self.ways[pipe.way])
                if not link.lost:
                    self._write(pipe, now)
                if link not in self.links:
                    break
                if pipe.carry:
                    next_at = min(next_at, pipe.carry_due)
                if not pipe.ended and pipe.held < QUEUE_MAX:
                    wanted[pipe.source] = wanted.get(pipe.source, 0) | selectors.EVENT_READ
                if pipe.queue:
                    if pipe.queue[0][0] > now:
                        next_at = min(next_at, pipe.queue[0][0])
                    else:
                        wanted[pipe.sink] = wanted.get(pipe.sink, 0) | selectors.EVENT_WRITE
        live = {side for link in self.links for side in (link.client, link.server)} | {self.wake_read, self.listener}
        return {side: events for side, events in wanted.items() if side in live}, next_at

    def _run(self):
        while True:
            with self.lock:
                if self.stopped:
                    break
                now = time.monotonic()
                wanted, next_at = self._turn(now)
                self.selector.close()
                self.selector = selectors.PollSelector()
                for side, events in wanted.items():
                    self.selector.register(side, events)
            ready = self.selector.select(max(0.0, next_at - time.monotonic()))
            with self.lock:
                sides = {key.fileobj for key, events in ready if events & selectors.EVENT_READ and key.fileobj.fileno() >= 0}
                if self.wake_read in sides:
                    self.wake_read.recv(4096)
                if self.listener in sides and not self.frozen:
                    self._accept()
                if self.frozen:
                    continue
                for link in list(self.links):
                    for pipe in link.pipes:
                        if pipe.source in sides and link in self.links:
                            self._read(pipe)
        for link in list(self.links):
            self._reset(link)
        for side in (self.listener, self.bound, self.wake_read, self.wake_write):
            if side:
                side.close()
        self.selector.close()


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    proxy = FaultProxy(int(sys.argv[1])).start()
    print(proxy.port, flush=True)
    for line in sys.stdin:
        words = line.split()
        if words:
            try:
                print(getattr(proxy, words[0])(*words[1:]) or "ok", flush=True)
            except (AttributeError, TypeError, ValueError) as error:
                print(error, flush=True)
    proxy.stop()


if __name__ == "__main__":
    main()
