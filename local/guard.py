"""The guard of every server on 127.0.0.1: it answers programs and its own pages, but no other web page.

None of these servers has a login, and every page in a browser of this machine can send requests to 127.0.0.1. A browser
names the page that a request comes from (`Origin`, `Sec-Fetch-Site`) and the name that it looked up (`Host`); a page
can change neither. boto3, the AWS CLI, curl, Lambda functions and tests send no `Origin`.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# `none` is a person: an address typed in, or a bookmark.
_OWN_SITES = frozenset({"none", "same-origin"})
_DEFAULT_PORT = 80


def refusal(headers: Iterable[tuple[str, str]], port: int) -> str | None:
    """Return why a request to a port of 127.0.0.1 is refused, or None if it may pass.

    `headers` are all of the request's, repeated ones too; their names may be in any case.
    """
    found: dict[str, list[str]] = {"host": [], "origin": [], "sec-fetch-site": []}
    for name, value in headers:
        if name.lower() in found:
            found[name.lower()].append(value.strip().lower())
    names = ("127.0.0.1", "localhost", "[::1]")
    hosts = {f"{name}:{port}" for name in names} | ({*names} if port == _DEFAULT_PORT else set())
    if len(found["host"]) != 1 or found["host"][0] not in hosts:
        return f"Host must be 127.0.0.1:{port} or localhost:{port}"
    if any(site not in _OWN_SITES for site in found["sec-fetch-site"]):
        return "a page of another site may not call this server (Sec-Fetch-Site)"
    if any(origin != f"http://{found['host'][0]}" for origin in found["origin"]):
        return "a page of another origin may not call this server (Origin)"
    return None


class Guard:
    """An ASGI application that passes on the requests that `refusal` allows, and answers 403 to the rest."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse a WebSocket before it is accepted."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        reason = refusal(headers, scope["server"][1])
        if reason is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            body = json.dumps({"message": reason}).encode()
            about = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),  # what it still sends is not read
            ]
            await send({"type": "http.response.start", "status": 403, "headers": about})
            await send({"type": "http.response.body", "body": body})
