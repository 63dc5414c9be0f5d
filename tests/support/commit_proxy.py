"""
A TCP proxy before MySQL that loses one COMMIT, of a transaction with `text` in its statements, when told to: lose = "reply" lets the server commit and drops the
answer, "statement" drops the statement, "late" delivers it only when the client has connected again.  In each case
the client's connection ends where it waits for the answer.
"""
import socket, threading, time

COMMIT = b"\x03COMMIT"  # COM_QUERY, behind the packet's header of four bytes


class CommitProxy:
    def __init__(self, port, text):
        self.text = text.encode()
        self.target, self.lost, self.lose = port, 0, None
        self.opened, self.muted = threading.Condition(), {}
        self.connections = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with self.opened:
                self.connections += 1
                self.opened.notify_all()
            upstream = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.forward, args=(client, upstream), daemon=True).start()
            threading.Thread(target=self.back, args=(upstream, client), daemon=True).start()

    def forward(self, client, upstream):
        named = False
        try:
            while data := client.recv(1 << 16):
                named |= self.text in data
                if data[4:] == COMMIT:
                    if self.lose and named:
                        self.lose_one(client, upstream, data)
                        return
                    named = False
                upstream.sendall(data)
        except OSError:
            pass
        close(client, upstream)

    def back(self, upstream, client):
        try:
            while data := upstream.recv(1 << 16):
                if upstream in self.muted:
                    self.muted[upstream].set()
                else:
                    client.sendall(data)
        except OSError:
            pass
        close(client, upstream)

    def lose_one(self, client, upstream, data):
        how, self.lose = self.lose, None
        before = self.connections
        if how == "reply":
            answered = self.muted[upstream] = threading.Event()
            upstream.sendall(data)
            answered.wait(20)
            del self.muted[upstream]
        else:
            close_one(client)
        if how == "late":
            with self.opened:
                self.opened.wait_for(lambda: self.connections > before, 20)
            try:
                upstream.sendall(data)
                time.sleep(0.2)
            except OSError:
                pass
        close(client, upstream)
        self.lost += 1

    def close(self):
        self.server.close()


def close_one(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def close(*connections):
    for connection in connections:
        close_one(connection)
