"""Names' addresses: looked up aside, kept for a minute, and the one that worked last first."""

import socket
import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

from cxone_messaging.platform.clock import Clock

# Addresses are looked up again after a minute, and used for up to a quarter of an hour while lookups fail.
_FRESH_SECONDS, _STALE_SECONDS = 60.0, 900.0
# How long a lookup is waited for where older addresses are known.
_PATIENCE_SECONDS = 2.0


class Address(NamedTuple):
    """One of the addresses that a name has, as `socket.getaddrinfo` returns them."""

    family: int
    type: int
    protocol: int
    canonical_name: str
    address: Any


class Resolver:
    """Looks names up in threads of their own, so that a slow name server holds no caller up for longer than it waits.

    A lookup that nobody waits for any more goes on, and its result serves the next caller. It writes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._under_way: dict[tuple[str, int], Future[list[Address]]] = {}

    def addresses(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return a name's addresses, the one that worked last first. Raises `OSError`; `TimeoutError` is one."""
        looked_up_at, known = self._known.get((host, port), (float("-inf"), []))
        age = self._clock.monotonic() - looked_up_at
        if age < _FRESH_SECONDS:
            return known
        usable = known if age < _STALE_SECONDS else []
        try:
            return self._lookup(host, port).result(min(seconds, _PATIENCE_SECONDS) if usable else seconds)
        except OSError:
            if usable:
                return usable
            raise

    def worked(self, host: str, port: int, address: Address) -> None:
        """Put an address before the name's others."""
        looked_up_at, known = self._known.get((host, port), (float("-inf"), []))
        if known and known[0] != address:
            self._known[host, port] = looked_up_at, sorted(known, key=lambda each: each != address)

    def _lookup(self, host: str, port: int) -> Future[list[Address]]:
        with self._lock:
            future = self._under_way.get((host, port))
            if future is None:
                future = Future()
                thread = threading.Thread(target=self._look_up, args=(host, port, future), name="resolver", daemon=True)
                self._under_way[host, port] = future
                try:
                    thread.start()
                except RuntimeError as error:  # the machine has no room for another one
                    del self._under_way[host, port]
                    raise OSError("no thread to look a name up in") from error
            return future

    def _look_up(self, host: str, port: int, future: Future[list[Address]]) -> None:
        try:
            found = [Address(*each) for each in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)]
            self._known[host, port] = self._clock.monotonic(), found
            future.set_result(found)
        except OSError as error:
            future.set_exception(error)
        except Exception:  # such as for a name that IDNA refuses
            future.set_exception(socket.gaierror(socket.EAI_NONAME, "not a name"))
        finally:
            with self._lock:
                del self._under_way[host, port]
