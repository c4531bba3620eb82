"""What lies between a sender in memory and the simulator, with faults of its own: slow starts, freezes, a proxy."""

import io
from dataclasses import dataclass

import requests

from local.simulator.transport import SimulatorAdapter, core_request


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to one request to CXone.

    `before` is how long the lookup, the connection and TLS take; the client gives up where that is too long. `freeze`
    is how long the process stands still before the body, whatever the client's timeouts are. `then` happens once the
    body is written: the connection is reset, or a proxy holds the request back, and lets it through later.
    """

    before: float = 0.0
    freeze: float = 0.0
    then: str = "answer"


class Wire(requests.adapters.BaseAdapter):
    """Takes requests to a world's simulator, through the troubles that are ordered in `world.troubles`."""

    def __init__(self, world, inner: SimulatorAdapter) -> None:
        super().__init__()
        self._world = world
        self._inner = inner

    def send(self, request, stream=False, timeout=None, **options):
        is_send = request.url.endswith(("/sms/send", "/outbound"))
        if not (is_send and self._world.troubles):
            return self._inner.send(request, stream, timeout, **options)
        trouble, clock = self._world.troubles.pop(0), self._world.clock
        if trouble.before > timeout.connect_timeout:
            clock.sleep(timeout.connect_timeout)
            raise requests.ConnectTimeout("no connection in time")
        clock.sleep(trouble.before)
        clock.advance(trouble.freeze)
        if trouble.then == "answer":
            return self._inner.send(request, stream, timeout, **options)
        assert isinstance(request.body, io.BytesIO)
        held = core_request(request)
        request.body.read()
        if trouble.then == "hold":
            self._world.held.append((clock.now(), held))
            clock.sleep(timeout.total)
            raise requests.ReadTimeout("no answer in time")
        raise requests.ConnectionError("reset by the other side")

    def close(self):
        pass
