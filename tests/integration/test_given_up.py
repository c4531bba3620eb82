"""A send that was given up never goes out later, whatever comes before its first byte, and all of it is bounded."""

import collections
import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from cxone_messaging import segments
from cxone_messaging.adapters.cxone import connections
from cxone_messaging.adapters.cxone.connections import IDLE_LIMIT_SECONDS, _WholeTimeout
from cxone_messaging.adapters.cxone.http import CxoneSession, WatchedBody
from cxone_messaging.adapters.cxone.token_cache import Token
from cxone_messaging.domain.outcomes import Accepted, NotAccepted, OutcomeUnknown, Rejected
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import Sms
from cxone_messaging.platform.clock import SystemClock
from tests.fakes import cxone_sms
from tests.network import NAME, Certificates, Names, Server, accept, answer, reset

TAKEN = Accepted("taken")


class ShiftedClock(SystemClock):
    """The machine's clock, set ahead by what a test says."""

    shift = 0.0

    def now(self):
        return super().now() + self.shift

    def monotonic(self):
        return super().monotonic() + self.shift


class Tokens:
    def get(self, seconds=0):
        return Token("token", 1, 9e12, 9e12)

    current = get

    def mark_accepted(self, token):
        pass

    invalidate = discard = mark_accepted


@pytest.fixture
def clock():
    return ShiftedClock()


@pytest.fixture
def names(monkeypatch):
    names = Names(monkeypatch)
    yield names
    names.close()


@pytest.fixture
def serve(names):
    servers = []

    def start(answer=accept, tls=None):
        servers.append(Server(answer, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def sms(text="Your code is 849201"):
    return Sms(PhoneNumber.parse("+15551234567"), text, "campaign", "12345", segments.count(text))


def gateway(server, clock, session=None):
    return cxone_sms(server.url, Tokens(), session or CxoneSession(clock), clock)


class TestBeforeTheBody:
    def test_a_slow_lookup_is_given_up_and_nothing_goes_out_when_it_ends(self, serve, names, clock):
        server, names.seconds = serve(), 4.5
        sender = gateway(server, clock)
        began = time.monotonic()
        outcome = sender.send(sms(), "msg_1", 3.2)
        assert time.monotonic() - began < 4
        assert isinstance(outcome, NotAccepted)
        time.sleep(5 - (time.monotonic() - began))
        assert server.connections == []
        names.seconds = 0
        assert sender.send(sms(), "msg_1", 5) == TAKEN
        assert names.lookups == 1, "the lookup that was given up serves the next send"

    def test_a_name_is_looked_up_once_a_minute(self, serve, names, clock):
        sender = gateway(serve(), clock)
        for _ in range(3):
            clock.shift += IDLE_LIMIT_SECONDS - 0.5  # a new connection each time
            assert sender.send(sms(), "msg_1", 5) == TAKEN
            clock.shift += 1
        assert names.lookups == 1
        clock.shift += 61
        assert sender.send(sms(), "msg_1", 5) == TAKEN
        assert names.lookups == 2

    def test_while_lookups_fail_the_last_addresses_serve_for_a_while(self, serve, names, clock):
        sender = gateway(serve(), clock)
        assert sender.send(sms(), "msg_1", 5) == TAKEN
        names.fails = True
        clock.shift += 61
        assert sender.send(sms(), "msg_1", 5) == TAKEN
        clock.shift += 901
        assert isinstance(sender.send(sms(), "msg_1", 5), NotAccepted)

    def test_a_name_that_is_none_takes_nothing(self, names, clock):
        for host in (NAME, "a" * 300, "x..y"):
            names.fails = True
            sender = cxone_sms(f"http://{host}:9", Tokens(), CxoneSession(clock), clock)
            assert isinstance(sender.send(sms(), "msg_1", 5), NotAccepted)

    @pytest.mark.parametrize(("dead", "seconds"), [(7, 12)])
    def test_dead_addresses_before_the_right_one_take_a_share_of_the_time(self, serve, names, clock, dead, seconds):
        server = serve()
        names.add_dead(dead)
        sender = gateway(server, clock)
        assert sender.send(sms(), "msg_1", seconds) == TAKEN
        clock.shift += IDLE_LIMIT_SECONDS + 1
        began = time.monotonic()
        assert sender.send(sms(), "msg_1", seconds) == TAKEN
        assert time.monotonic() - began < 1, "the address that worked is tried first"

    def test_where_all_addresses_are_dead_the_send_is_given_up_in_time(self, serve, names, clock):
        server = serve()
        names.add_dead(4)
        sender = cxone_sms(f"http://{NAME}:1", Tokens(), CxoneSession(clock), clock)
        began = time.monotonic()
        assert isinstance(sender.send(sms(), "msg_1", 4), NotAccepted)
        assert time.monotonic() - began < 5
        assert server.connections == []

    def test_answers_that_drip_hold_up_nobody_else(self, serve, clock):
        def drip(connection, number, body):
            if b"drip" not in body:
                return accept(connection, number, body)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 60000\r\n\r\n")
            for _ in range(20):
                connection.sendall(b" ")
                time.sleep(0.2)
            return False

        server = serve(drip)
        sender = gateway(server, clock)
        with ThreadPoolExecutor(64) as pool:
            dripping = [pool.submit(sender.send, sms("drip"), "msg_1", 3.2) for _ in range(64)]
            time.sleep(1)
            began = time.monotonic()
            assert sender.send(sms(), "msg_1", 4) == TAKEN
            assert time.monotonic() - began < 1.5
            assert all(isinstance(each.result(), OutcomeUnknown) for each in dripping)
        assert len(server.requests) == 65, "each went out once"

    def test_a_body_that_is_held_back_never_leaves(self, serve, clock):
        server = serve()
        sender = gateway(server, clock)
        outcome = sender.send(sms(), "msg_1", 5, lambda: True)
        assert isinstance(outcome, NotAccepted)
        time.sleep(0.2)
        assert server.requests == []
        assert sender.send(sms(), "msg_1", 5) == TAKEN

    def test_a_process_that_was_frozen_past_its_deadline_sends_nothing(self, serve, clock):
        """Between the connection and the body, as a Lambda environment may be; the stopwatch may stand still."""
        server = serve()

        def thaw_later():
            clock.shift += 3_600
            return False

        assert isinstance(gateway(server, clock).send(sms(), "msg_1", 5, thaw_later), NotAccepted)
        time.sleep(0.2)
        assert server.requests == []


class TestOddAnswers:
    def test_cookies_are_not_kept(self, serve, clock):
        heads = []

        def bake(connection, number, body):
            heads.append(server.last_head)
            cookie = b"Set-Cookie: c%d=%b\r\n" % (len(heads), b"x" * 2_000)
            connection.sendall(answer(b'{"id": "taken"}', head=cookie))

        server = serve(bake)
        sender = gateway(server, clock)
        for _ in range(3):
            assert sender.send(sms(), "msg_1", 5) == TAKEN
        assert b"Cookie" not in b"".join(heads)

    def test_a_redirects_body_is_not_read(self, serve, clock):
        def endless(connection, number, body):
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 99999999\r\n\r\n")
            for _ in range(20):
                connection.sendall(b"x" * 10_000)
                time.sleep(0.1)

        began = time.monotonic()
        outcome = gateway(serve(endless), clock).send(sms(), "msg_1", 5)
        assert (type(outcome), outcome.http_status) == (Rejected, 302)
        assert time.monotonic() - began < 1

    def test_a_machine_without_room_for_a_thread_looks_names_up_again_later(self, serve, clock, monkeypatch):
        def full(_):
            raise RuntimeError("can't start new thread")

        server = serve()
        sender = gateway(server, clock)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", full)
            assert isinstance(sender.send(sms(), "msg_1", 5), NotAccepted)
        assert sender.send(sms(), "msg_1", 5) == TAKEN


class TestTls:
    @pytest.fixture
    def certificates(self, tmp_path):
        return Certificates(tmp_path)

    @pytest.fixture
    def session(self, clock, certificates):
        session = CxoneSession(clock)
        session.verify = str(certificates.file)
        return session

    def test_a_message_goes_out_and_the_connection_is_kept(self, serve, clock, certificates, session):
        server = serve(tls=certificates.serve)
        sender = gateway(server, clock, session)
        for _ in range(3):
            assert sender.send(sms(), "msg_1", 5) == TAKEN
        assert len(server.connections) == 1

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, serve, clock, certificates):
        server = serve(tls=certificates.serve)
        assert isinstance(gateway(server, clock).send(sms(), "msg_1", 5), NotAccepted)
        assert server.requests == []

    def test_a_certificate_of_another_name_is_refused(self, serve, clock, certificates, session):
        server = serve(tls=certificates.serve)
        sender = cxone_sms(f"https://localhost:{server.port}", Tokens(), session, clock)
        assert isinstance(sender.send(sms(), "msg_1", 5), NotAccepted)
        assert server.requests == []

    def test_a_slow_handshake_is_given_up_and_nothing_goes_out_when_it_ends(self, serve, clock, certificates, session):
        def slowly(connection):
            time.sleep(4)
            return certificates.serve(connection)

        server = serve(tls=slowly)
        began = time.monotonic()
        assert isinstance(gateway(server, clock, session).send(sms(), "msg_1", 3.2), NotAccepted)
        assert time.monotonic() - began < 4
        time.sleep(1.5)
        assert server.requests == []

    def test_an_answer_that_drips_is_given_up(self, serve, clock, certificates, session):
        def drip(connection, number, body):
            for character in answer(b'{"id": "late"}'):
                connection.sendall(bytes([character]))
                time.sleep(0.2)

        server = serve(drip, tls=certificates.serve)
        began = time.monotonic()
        assert isinstance(gateway(server, clock, session).send(sms(), "msg_1", 3.2), OutcomeUnknown)
        assert time.monotonic() - began < 4.5


class TestKeptConnections:
    def test_idle_time_is_each_connections_own(self, serve, clock):
        """25 connections of a burst, all but one idle for 400 s and reset by the other side, as a NAT gateway does."""
        last = {}

        def forgetful(connection, number, body):
            now = clock.monotonic()
            if now - last.get(number, now) > 60:
                reset(connection)
                return False
            time.sleep(0.05)
            accept(connection, number, body)
            last[number] = clock.monotonic()
            return None

        server = serve(forgetful)
        sender = gateway(server, clock)

        def burst(count):
            with ThreadPoolExecutor(count) as pool:
                sends = [pool.submit(sender.send, sms(), "msg_1", 10) for _ in range(count)]
                return collections.Counter(type(each.result()) for each in sends)

        assert burst(25) == {Accepted: 25}
        first = len(server.connections)
        for _ in range(40):
            clock.shift += 10
            assert sender.send(sms(), "msg_1", 10) == TAKEN
        assert burst(25) == {Accepted: 25}
        assert len(server.connections) - first < 25, "the one connection that was used is kept"

    def test_a_connection_is_not_used_again_after_a_freeze_that_only_the_time_of_day_shows(self, serve, clock):
        server = serve()
        sender = gateway(server, clock)
        assert sender.send(sms(), "msg_1", 5) == TAKEN
        wall = clock.now
        clock.now = lambda: wall() + 400
        assert sender.send(sms(), "msg_1", 5) == TAKEN
        assert len(server.connections) == 2

    @pytest.mark.parametrize("farewell", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
    def test_a_connection_that_the_other_side_gave_up_is_not_used(self, serve, clock, farewell):
        def once(connection, number, body):
            accept(connection, number, body)
            time.sleep(0.05)
            connection.sendall(farewell)
            return False if not farewell else None

        server = serve(once)
        sender = gateway(server, clock)
        for _ in range(3):
            assert sender.send(sms(), "msg_1", 5) == TAKEN
            time.sleep(0.2)
        assert len(server.connections) == 3

    @pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
    def test_what_comes_before_an_answer_is_not_taken_for_it(self, serve, clock, status):
        def twice(connection, number, body):
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nLink: </a>\r\n\r\n")
            time.sleep(0.05)
            connection.sendall(answer(b'{"id": "id of %b"}' % body.split(b'"text": "')[1][:1]))

        server = serve(twice)
        sender = gateway(server, clock)
        for text in "ABC":
            assert sender.send(sms(text), "msg_1", 5) == Accepted(f"id of {text}")
        assert len(server.connections) == 1

    def test_a_connection_is_looked_at_before_a_body_is_written(self):
        for farewell in (b"x", b""):
            ours, theirs = socket.socketpair()
            ours = _WholeTimeout(fileno=ours.detach())
            ours.settimeout(1)
            ours.raise_if_closed()
            assert ours.gettimeout() > 0.5, "the time that was left is left"
            theirs.sendall(farewell)
            theirs.close()
            with pytest.raises(ConnectionAbortedError):
                ours.raise_if_closed()
            ours.close()

    def test_a_fast_answer_to_a_request_without_a_body_is_an_answer(self, clock, monkeypatch):
        """It may be there before the look; then the look would take its first byte."""

        def at_once(connection):
            with contextlib.suppress(OSError):
                while b"\r\n\r\n" in connection.recv(65536):
                    connection.sendall(answer(b"{}", b"200 OK"))

        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=lambda: at_once(server.accept()[0]), daemon=True).start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            silence = _WholeTimeout.raise_if_closed
            monkeypatch.setattr(_WholeTimeout, "raise_if_closed", lambda self: (time.sleep(0.1), silence(self)))
            session = CxoneSession(clock)
            for _ in range(3):
                assert session.exchange(url, None, {}, 5, must_read={200}, method="GET").body == b"{}"

    def test_the_look_is_taken_before_each_body(self, serve, clock, monkeypatch):
        def broken(_):
            raise ConnectionAbortedError

        server = serve()
        monkeypatch.setattr(connections._WholeTimeout, "raise_if_closed", broken)
        body = WatchedBody({})
        with pytest.raises(requests.RequestException):
            CxoneSession(clock).exchange(server.url, body, {}, 5, must_read={202})
        assert not body.written
