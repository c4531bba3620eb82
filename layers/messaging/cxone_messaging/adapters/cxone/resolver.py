"""The addresses of host names: looked up in a thread, cached for a minute.

The last address that worked is the first.
"""

import socket
import threading
from concurrent.futures import Future
from typing import Any, NamedTuple

from cxone_messaging.platform.clock import Clock

# Addresses are looked up again after a minute. While lookups fail, they are used for up to a quarter of an hour.
_FRESH_SECONDS, _STALE_SECONDS = 60.0, 900.0
# How long a caller waits for a lookup if older addresses are known.
_PATIENCE_SECONDS = 2.0


class Address(NamedTuple):
    """One address of a name, as `socket.getaddrinfo` returns it."""

    family: int
    type: int
    protocol: int
    canonical_name: str
    address: Any


class Resolver:
    """Looks up each name in a thread, so that a slow name server delays a caller no longer than it waits.

    A lookup continues after its caller has stopped waiting, and its result serves the next caller. It writes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._under_way: dict[tuple[str, int], Future[list[Address]]] = {}

    def addresses(self, host: str, port: int, seconds: float) -> list[Address]:
        """Return a name's addresses, the last one that worked first.

        Raises `OSError`, `TimeoutError` included.
        """
        looked_up_at, cached = self._cache.get((host, port), (float("-inf"), []))
        age = self._clock.monotonic() - looked_up_at
        if age < _FRESH_SECONDS:
            return cached
        usable = cached if age < _STALE_SECONDS else []
        try:
            return self._lookup(host, port).result(min(seconds, _PATIENCE_SECONDS) if usable else seconds)
        except OSError:
            if usable:
                return usable
            raise

    def worked(self, host: str, port: int, address: Address) -> None:
        """Move an address that accepted a connection to the front of the name's addresses."""
        looked_up_at, cached = self._cache.get((host, port), (float("-inf"), []))
        if cached and cached[0] != address:
            self._cache[host, port] = looked_up_at, sorted(cached, key=lambda each: each != address)

    def _lookup(self, host: str, port: int) -> Future[list[Address]]:
        with self._lock:
            future = self._under_way.get((host, port))
            if future is None:
                future = Future()
                thread = threading.Thread(target=self._look_up, args=(host, port, future), name="resolver", daemon=True)
                self._under_way[host, port] = future
                try:
                    thread.start()
                except RuntimeError as error:  # the machine has no room for another thread
                    del self._under_way[host, port]
                    raise OSError("no thread could be started to look up a name") from error
            return future

    def _look_up(self, host: str, port: int, future: Future[list[Address]]) -> None:
        try:
            found = [Address(*each) for each in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)]
            self._cache[host, port] = self._clock.monotonic(), found
            future.set_result(found)
        except OSError as error:
            future.set_exception(error)
        except Exception:  # such as for a name that IDNA refuses
            future.set_exception(socket.gaierror(socket.EAI_NONAME, "not a name"))
        finally:
            with self._lock:
                del self._under_way[host, port]
