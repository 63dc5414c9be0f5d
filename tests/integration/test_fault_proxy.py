"""The fault proxy does what it says, and nothing when it is told nothing."""
import os, select, socket, subprocess, sys, threading, time
from fault_proxy import TO_CLIENT, TO_SERVER, FaultProxy
from support import TOP, equal, wait_for


class Peer:
    """A server whose last connection a test holds in its hands."""
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def accept(self):
        side = self.listener.accept()[0]
        side.settimeout(10)
        return side


def pair():
    peer = Peer()
    proxy = FaultProxy(peer.port).start()
    proxy.peer = peer  # listens as long as the proxy is there
    client = socket.create_connection(("127.0.0.1", proxy.port), 10)
    return proxy, client, peer.accept()


def receive(side, count):
    got = b""
    while len(got) < count:
        piece = side.recv(count - len(got))
        assert piece, f"the end after {got!r}"
        got += piece
    return got


def silent(side, seconds=0.2):
    return not select.select([side], [], [], seconds)[0]


def is_reset(side):
    try:
        side.send(b"?")
        while side.recv(100):
            pass
        return False
    except ConnectionError:
        return True


def test_without_a_fault_megabytes_pass_both_ways(t):
    proxy, client, server = pair()
    data = os.urandom(3_000_000)
    for one, other in ((client, server), (server, client)):
        sender = threading.Thread(target=one.sendall, args=(data,))
        sender.start()
        equal(receive(other, len(data)) == data, True)
        sender.join()
    client.close()
    equal(server.recv(1), b"")
    server.close()
    wait_for("the proxy forgets them", lambda: proxy.connections == 0)
    proxy.stop()


def test_delay_bandwidth_and_pieces_are_seen_and_end(t):
    proxy, client, server = pair()

    def took(data, fault=lambda: None):
        fault()
        started = time.monotonic()
        client.sendall(data)
        equal(receive(server, len(data)), data)
        passed = time.monotonic() - started
        proxy.heal()
        return passed
    def at_once(*arguments):
        """The machine may be slow now and then."""
        wait_for("hardly any time passes", lambda: took(*arguments) < 0.1)
    at_once(b"x", lambda: proxy.delay(0.15, TO_CLIENT))
    assert 0.15 <= took(b"x", lambda: proxy.delay(0.15, TO_SERVER))
    assert 0.2 <= took(b"x" * 3000, lambda: proxy.bandwidth(10_000))
    proxy.pieces(1)
    server.sendall(b"abcdef")
    equal(receive(client, 6), b"abcdef")
    proxy.heal()
    at_once(b"x" * 3000)
    proxy.stop()


def test_a_cut_is_a_reset_for_both(t):
    proxy, client, server = pair()
    proxy.cut()
    assert is_reset(client) and is_reset(server)
    proxy.stop()


def test_half_open_tells_nobody(t):
    proxy, client, server = pair()
    proxy.half_open()
    client.sendall(b"lost"), server.sendall(b"lost")
    client.close()
    assert silent(server)
    again = socket.create_connection(("127.0.0.1", proxy.port), 10)
    again.sendall(b"new ones work")
    proxy.half_open(new=True)
    third = socket.create_connection(("127.0.0.1", proxy.port), 10)
    third.sendall(b"lost"), again.sendall(b"lost")
    assert silent(third) and silent(again)
    proxy.heal()
    third.sendall(b"still lost")
    assert silent(third)
    proxy.stop()
    assert is_reset(server)


def test_half_close_ends_one_way_only(t):
    proxy, client, server = pair()
    proxy.half_close(TO_CLIENT)
    equal(client.recv(1), b"")
    client.sendall(b"still")
    equal(receive(server, 5), b"still")
    proxy.stop()


def test_freeze_keeps_what_resume_delivers(t):
    proxy, client, server = pair()
    proxy.freeze()
    client.sendall(b"later")
    assert silent(server)
    proxy.resume()
    equal(receive(server, 5), b"later")
    proxy.refuse()
    try:
        socket.create_connection(("127.0.0.1", proxy.port), 1)
        raise AssertionError("not refused")
    except ConnectionError:
        pass
    proxy.heal()
    socket.create_connection(("127.0.0.1", proxy.port), 1).close()
    proxy.stop()


def test_bytes_are_corrupted_and_replaced_once(t):
    proxy, client, server = pair()
    proxy.corrupt(TO_SERVER, after=2)
    client.sendall(b"a")
    equal(receive(server, 1), b"a")
    client.sendall(b"bcd")
    equal(receive(server, 3), b"b" + bytes([ord("c") ^ 0x10]) + b"d")
    proxy.replace(b"COMMIT", b"COMMON", TO_SERVER)
    client.sendall(b"1 COM")
    time.sleep(0.002)
    client.sendall(b"MIT 2 COMMIT C")
    got = receive(server, 19)
    assert got in (b"1 COMMON 2 COMMIT C", b"1 COMMIT 2 COMMON C"), got  # the first, unless its halves were 5 ms apart
    equal((proxy.done("corrupt"), proxy.done("replace")), (1, 1))
    proxy.stop()


def test_a_dropped_reply_comes_after_the_request_was_done(t):
    proxy = FaultProxy(t.redis_server.port).start()
    client = socket.create_connection(("127.0.0.1", proxy.port), 10)
    client.sendall(b"INCR " + t.prefix.encode() + b"\r\n")
    equal(receive(client, 4), b":1\r\n")
    proxy.drop_reply(b"INCR")
    client.sendall(b"PING\r\n")
    equal(receive(client, 7), b"+PONG\r\n")
    client.sendall(b"INCR " + t.prefix.encode() + b"\r\n")
    wait_for("the reply is dropped", lambda: proxy.done("drop_reply") == 1)
    assert is_reset(client)
    equal(t.redis.get(t.prefix), b"2")
    proxy.stop()


def test_it_runs_by_itself(t):
    program = os.path.join(TOP, "tests/support/fault_proxy.py")
    child = subprocess.Popen([sys.executable, program, str(t.redis_server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    client = socket.create_connection(("127.0.0.1", int(child.stdout.readline())), 10)
    client.sendall(b"PING\r\n")
    equal(receive(client, 7), b"+PONG\r\n")
    for line, answer in (("delay 0.01", "ok\n"), ("nonsense 1", None), ("delay x", None), ("cut", "ok\n")):
        child.stdin.write(line + "\n"), child.stdin.flush()
        said = child.stdout.readline()
        assert said == answer or (answer is None and said != "ok\n"), said
    assert is_reset(client)
    child.stdin.close()
    equal(child.wait(10), 0)
