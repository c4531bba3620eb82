"""A network with faults of its own, between the real client and servers of the tests: names, addresses, connections."""

import re
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress

import trustme

NAME = "cxone.test"


class Server:
    """Answers each request by `answer(connection, number, body)`; a connection that it returns False for is closed.

    `requests` holds the bodies of all whole requests, `heads` how many heads came, `connections` all connections.
    """

    def __init__(self, answer, tls=None):
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.requests, self.connections = [], []
        self.heads, self.last_head = 0, b""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self._tls else 'http'}://{NAME}:{self.port}"

    def close(self):
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection, len(self.connections)), daemon=True).start()

    def _serve(self, connection, number):
        with suppress(OSError, ValueError):
            if self._tls:
                connection = self._tls(connection)
            stream = connection.makefile("rb")
            while line := stream.readline():
                length, self.last_head = 0, line
                while (line := stream.readline()) not in {b"\r\n", b""}:
                    self.last_head += line
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.heads += 1
                body = stream.read(length)
                if len(body) < length:
                    return
                self.requests.append(body)
                if self._answer(connection, number, body) is False:
                    connection.close()
                    return


def accept(connection, number, body):
    """Take a message, as CXone does."""
    connection.sendall(answer(b'{"id": "taken"}'))


def answer(body, status=b"202 Accepted", head=b""):
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, head, len(body), body)


def reset(connection):
    """Break a connection as a NAT gateway does that has forgotten it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Proxy:
    """Passes requests on to a server, or drops them, or holds them back and lets them through after a while.

    `written` tells of each message, by our reference in its body, when all of its body had come: when it was posted.
    """

    HOLD_SECONDS = 8.0

    def __init__(self, port, rng):
        self._upstream = port
        # The simulator answers to its own name only.
        self._rewritten = {b"connection": b"Connection: close\r\n", b"host": b"Host: 127.0.0.1:%d\r\n" % port}
        self._rng = rng
        self._lock = threading.Lock()
        self.written = {}
        self.held = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                head, length = [line], 0
                while (line := stream.readline()) not in {b"\r\n", b""}:
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    head.append(self._rewritten.get(name.lower(), line))
                body = stream.read(length)
                if len(body) < length:
                    return
                fate = self._fate(body)
                if fate == "drop":
                    return
                if fate == "hold":
                    time.sleep(self.HOLD_SECONDS)
                connection.sendall(self._pass_on(b"".join(head) + b"\r\n" + body))

    def _fate(self, body):
        with self._lock:
            if reference := re.search(rb"ref=(msg_[0-9a-f]+)", body):
                self.written.setdefault(reference[1].decode(), []).append(time.time())
                fate = self._rng.choice(["pass", "pass", "pass", "drop", "hold"])
                self.held += fate == "hold"
                return fate
            return "pass"

    def _pass_on(self, request):
        with socket.create_connection(("127.0.0.1", self._upstream)) as upstream:
            upstream.sendall(request)
            answer = b""
            while part := upstream.recv(65536):
                answer += part
            return answer


class Names:
    """Answers lookups of `NAME`: after `seconds`, with `dead` addresses before the right one; counts them."""

    def __init__(self, monkeypatch):
        self.seconds, self.dead, self.lookups, self.fails = 0.0, [], 0, False
        self._real = socket.getaddrinfo
        self._kept = []
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def add_dead(self, count):
        """Put addresses before the right one that answer nothing: their listeners' queues are full."""
        for _ in range(count):
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            self._kept.append(listener)
            for _ in range(3):
                waiting = socket.socket()
                waiting.setblocking(False)
                with suppress(BlockingIOError):
                    waiting.connect(listener.getsockname())
                self._kept.append(waiting)
            self.dead.append(listener.getsockname())

    def _look_up(self, host, port, *args, **options):
        if host != NAME:
            return self._real(host, port, *args, **options)
        self.lookups += 1
        time.sleep(self.seconds)
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        right = ("127.0.0.1", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in [*self.dead, right]]

    def close(self):
        for each in self._kept:
            each.close()


class Certificates:
    """A certificate for `NAME` and 127.0.0.1, and the file of the authority that vouches for it."""

    def __init__(self, folder):
        authority = trustme.CA()
        self.file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME, "127.0.0.1").configure_cert(self._context)

    def serve(self, connection):
        return self._context.wrap_socket(connection, server_side=True)
