"""What a session does on real sockets: bounded in time as a whole, one request for one, connections kept."""

import contextlib
import socket
import threading
import time

import pytest
import requests

from cxone_messaging.adapters.cxone.http import CxoneSession, WatchedBody
from cxone_messaging.platform.clock import SystemClock
from local.processes import free_port


@pytest.fixture
def serve():
    """Answer each connection by a function that is given its socket; gives the URL and counts the connections."""
    servers = []

    def start(answer):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        connections = []

        def run():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/", connections

    yield start
    for server in servers:
        server.close()


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return data


def drip(connection, text):
    try:
        for character in text:
            connection.sendall(bytes([character]))
            time.sleep(0.2)
    except OSError:
        pass


def exchange(url, seconds=1.0, body=None):
    return CxoneSession(SystemClock()).exchange(url, body or WatchedBody({}), {}, seconds, must_read={200})


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100],
    ids=["its head", "its body"],
)
def test_an_answer_that_drips_in_is_given_up_in_time(serve, answer):
    head, _, body = answer.partition(b"\r\n\r\n")

    def slowly(connection):
        read_request(connection)
        if body:
            connection.sendall(head + b"\r\n\r\n")
        drip(connection, body or answer)

    url, _ = serve(slowly)
    asked = WatchedBody({"to": "somebody"})
    began = time.monotonic()
    with pytest.raises(requests.exceptions.ReadTimeout):
        exchange(url, 1.0, asked)
    assert time.monotonic() - began < 3
    assert asked.written


def test_the_status_decides_where_the_body_need_not_be_read(serve):
    def cut_off(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\n{")
        connection.close()

    url, _ = serve(cut_off)
    answer = exchange(url)
    assert (answer.status, answer.headers["Retry-After"], answer.body) == (429, "7", b"")


@pytest.mark.parametrize("status", [b"307 Temporary Redirect", b"503 Service Unavailable"])
def test_one_request_is_one_request(serve, status):
    def redirect(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    url, connections = serve(redirect)
    assert exchange(url).status == int(status[:3])
    time.sleep(0.1)
    assert len(connections) == 1


EXPLAINED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n{}"


@pytest.mark.parametrize(
    ("answer", "body"),
    [(EXPLAINED % 2, b"{}"), (EXPLAINED % 100, b""), (EXPLAINED % 100_000 + b" " * 99_998, b"")],
    ids=["whole", "cut off", "too long"],
)
def test_a_body_that_may_be_read_is_read_where_it_can_be_and_the_status_counts_without_it(serve, answer, body):
    def explain(connection):
        read_request(connection)
        with contextlib.suppress(OSError):
            connection.sendall(answer)
        connection.close()

    url, _ = serve(explain)
    told = CxoneSession(SystemClock()).exchange(url, WatchedBody({}), {}, 1.0, must_read={200}, may_read={400})
    assert (told.status, told.body) == (400, body)


@pytest.mark.parametrize("dripping", [False, True])
def test_a_body_that_may_be_read_that_never_ends_is_given_up_in_time_and_the_status_counts(serve, dripping):
    def explain(connection):
        read_request(connection)
        connection.sendall(EXPLAINED % 100)
        drip(connection, b" " * 98 if dripping else b"")
        time.sleep(3)

    url, _ = serve(explain)
    began = time.monotonic()
    told = CxoneSession(SystemClock()).exchange(url, WatchedBody({}), {}, 1.0, must_read={200}, may_read={400})
    assert (told.status, told.body) == (400, b"")
    assert time.monotonic() - began < 3


def test_a_reset_is_not_repeated(serve):
    def reset(connection):
        read_request(connection)
        connection.close()

    url, connections = serve(reset)
    asked = WatchedBody({})
    with pytest.raises(requests.exceptions.ConnectionError):
        exchange(url, body=asked)
    time.sleep(0.1)
    assert asked.written
    assert len(connections) == 1


def test_a_refused_connection_has_written_nothing():
    asked = WatchedBody({})
    with pytest.raises(requests.exceptions.ConnectionError):
        exchange(f"http://127.0.0.1:{free_port()}/", body=asked)
    assert not asked.written


def test_an_endless_answer_is_cut(serve):
    def endless(connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        with contextlib.suppress(OSError):
            connection.sendall(b"x" * 1_000_000)

    url, _ = serve(endless)
    with pytest.raises(requests.exceptions.RequestException, match="too long"):
        exchange(url, 5)
