"""Connections for `requests` whose timeout covers a request from end to end.

The timeouts of requests and urllib3 apply to each wait for the next bytes and to each address of a name. Nothing limits
the lookup of the name. Here one timeout covers all of it together. So no thread is needed to give up in time, and no
thread is left behind that could still write a request.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, override

from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from cxone_messaging.adapters.cxone.resolver import Address, Resolver
from cxone_messaging.platform.clock import Clock

# Load balancers close idle connections after a minute, NAT gateways forget them after 350 s. If a request is written
# while its connection is being closed, its outcome is unknown. A new connection is cheap.
IDLE_LIMIT_SECONDS = 20.0
# An address that takes longer to connect is skipped while the name has further addresses.
_ADDRESS_SECONDS = 1.5


class _WholeTimeout(socket.socket):
    """A socket whose timeout covers all reads and writes together, not each wait."""

    _until = float("inf")

    @override
    def settimeout(self, value: float | None, /) -> None:
        self._until = float("inf") if value is None else time.monotonic() + value
        super().settimeout(value)

    @override
    def recv_into(self, *args: Any, **options: Any) -> int:
        self._arm()
        return super().recv_into(*args, **options)

    @override
    def sendall(self, *args: Any, **options: Any) -> None:
        self._arm()
        super().sendall(*args, **options)

    def _arm(self) -> None:
        if self._until != float("inf"):
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            super().settimeout(left)

    def raise_if_closed(self) -> None:
        """Raise `ConnectionAbortedError` if the server has closed, or sends before it has the request."""
        until = self._until
        super().settimeout(0)
        try:
            self.recv(1)  # not MSG_PEEK: TLS has none, and has session tickets to read that are no answer
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            super().settimeout(None if until == float("inf") else max(0.001, until - time.monotonic()))
        raise ConnectionAbortedError("the server closed the connection before the body was written")


class _TlsSocket(_WholeTimeout, ssl.SSLSocket):
    """The same with TLS; OpenSSL's own timeout already covers the whole of a handshake."""


class _FinalResponse(http.client.HTTPResponse):
    """A final answer. Python skips an interim 100, but would take a 102 or 103 for the answer."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not http.client.CONTINUE < status[1] < http.client.OK or status[1] == http.client.SWITCHING_PROTOCOLS:
                return status
            http.client.parse_headers(self.fp)


class _Connecting(HTTPConnection):
    """Looks up the name and connects within one timeout.

    Checks the connection before it writes a body.
    """

    resolver: Resolver
    idle_since: tuple[float, float] | None = None  # by the stopwatch and by the time of day
    response_class = _FinalResponse
    _body_follows = True

    @override
    def _new_conn(self) -> socket.socket:
        began = time.monotonic()
        seconds = float(self.timeout or 0)
        host, port = self._dns_host, int(self.port or 0)
        try:
            addresses = self.resolver.addresses(host, port, seconds)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "the name was not looked up in time") from error
        except OSError as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror(socket.EAI_FAIL, "failed")
            raise NameResolutionError(self.host, self, reason) from error
        try:
            return self._first_that_answers(addresses, began + seconds)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no address answered in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no address accepts connections") from error

    def _first_that_answers(self, addresses: Sequence[Address], until: float) -> socket.socket:
        """Connect to one of a name's addresses.

        Each gets a share of the time, so that dead ones leave time.
        """
        failure = OSError("the name has no address")
        for number, address in enumerate(addresses):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection = _WholeTimeout(address.family, address.type, address.protocol)
            try:
                for option in self.socket_options or ():
                    connection.setsockopt(*option)
                is_last = number == len(addresses) - 1
                connection.settimeout(left if is_last else min(left / (len(addresses) - number), _ADDRESS_SECONDS))
                connection.connect(address.address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                connection.settimeout(max(0.001, until - time.monotonic()))
                self.resolver.worked(self._dns_host, int(self.port or 0), address)
                return connection
        raise failure

    @override
    def request(self, method: str, url: str, body: Any = None, *args: Any, **options: Any) -> None:
        self._body_follows = body is not None  # without a body, the answer may arrive as soon as the head is sent
        super().request(method, url, body, *args, **options)

    @override
    def endheaders(self, *args: Any, **options: Any) -> None:
        super().endheaders(*args, **options)
        if self._body_follows and isinstance(self.sock, _WholeTimeout):
            self.sock.raise_if_closed()


class _TlsConnecting(_Connecting, HTTPSConnection):
    """The same with TLS."""


class _IdleLimit(HTTPConnectionPool):
    """A pool that closes a connection that was idle for too long, instead of using it."""

    ConnectionCls = _Connecting

    def __init__(self, *args: Any, clock: Clock, resolver: Resolver, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock
        self._resolver = resolver

    @override
    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.resolver = self._resolver
        if connection.idle_since is not None:
            # The stopwatch may stop while Lambda freezes the environment, the time of day may be set back.
            idle = max(now - since for now, since in zip(self._now(), connection.idle_since, strict=True))
            if idle > IDLE_LIMIT_SECONDS:
                connection.close()  # it connects anew when it is used
        return connection

    @override
    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = self._now()
        super()._put_conn(conn)

    def _now(self) -> tuple[float, float]:
        return self._clock.monotonic(), self._clock.now()


class _TlsIdleLimit(_IdleLimit, HTTPSConnectionPool):
    """The same with TLS."""

    ConnectionCls = _TlsConnecting


class BoundedAdapter(HTTPAdapter):
    """An adapter for `requests`: bounded timeouts, no connection idle for long, no retries."""

    def __init__(self, clock: Clock, connections: int) -> None:
        super().__init__(max_retries=0, pool_maxsize=connections)
        resolver = Resolver(clock)
        self._contexts: dict[object, ssl.SSLContext] = {}
        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_IdleLimit, clock=clock, resolver=resolver),
            "https": partial(_TlsIdleLimit, clock=clock, resolver=resolver),
        }

    @override
    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, options = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context(verify)} if host["scheme"] == "https" else options

    @override
    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: the context verifies.

        It holds the certificates, so no connection reads them again.
        """

    def _context(self, verify: Any) -> ssl.SSLContext:
        """Return the TLS context that verifies against a bundle.

        True means the bundle of the package.
        """
        context = self._contexts.get(verify)
        if context is None:
            context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
            context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
            context.sslsocket_class = _TlsSocket
            self._contexts[verify] = context
        return context
