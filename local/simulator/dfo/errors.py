"""Refusals in the two shapes of this API: the errors collection, and that of the token endpoint."""

import uuid
from collections.abc import Mapping

from pydantic import ValidationError

from local.simulator.wire import RefusedError, Response

UNAUTHENTICATED = 401


class DfoRefusedError(RefusedError):
    """A digital endpoint refuses; `field` names what is wrong, `limit` the budget that is used up.

    The catalogue of `errorCode` is unknown, so each code is invented here: a client must not build on it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        field: str | None = None,
        code: str = "simulated",
        limit: str | None = None,
    ) -> None:
        super().__init__(status, message)
        self.details = {} if limit is None else {"limit": limit}
        self.response = collection(status, [error(message, field, code)], headers)


class TokenRefusedError(RefusedError):
    """The token endpoint refuses."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(status, description)
        self.response = Response(status, {"error": code, "errorDescription": description})


def error(message: str, field: str | None, code: str) -> dict[str, object]:
    """One entry of an errors collection."""
    found: dict[str, object] = {"message": message, "parameters": {}, "errorCode": code}
    return found if field is None else found | {"field": field}


def collection(status: int, errors: list[dict[str, object]], headers: Mapping[str, str] | None = None) -> Response:
    """Return the errors collection as an answer."""
    return Response(status, {"errors": errors, "uid": str(uuid.uuid4())}, headers or {})


def invalid(found: ValidationError, status: int) -> DfoRefusedError:
    """Return the refusal of a body that its model does not take."""
    entries = [(".".join(map(str, item["loc"])) or "body", item["msg"]) for item in found.errors()]
    refused = DfoRefusedError(status, "; ".join(f"{field}: {message}" for field, message in entries))
    refused.response = collection(status, [error(message, field, "invalid") for field, message in entries])
    return refused


def digital_fault(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Return a fault's answer at a digital endpoint."""
    return DfoRefusedError(status, message, headers).response


def token_fault(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Return a fault's answer at the token endpoint."""
    code = "invalid_client" if status == UNAUTHENTICATED else "server_error"
    return Response(status, {"error": code, "errorDescription": message}, headers)
