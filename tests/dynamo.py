"""As much of DynamoDB's client as the ledger and the consents call, in memory, with answers that can be lost."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError


class DuplicateError(ClientError):
    """Another item has the key already."""


class _Exceptions:
    DuplicateItemException = DuplicateError


class FakeDynamo:
    """The ledger's table.

    `spoil` may raise, or change the answer, once a call has been done: `spoil(operation, request, answer)`. What it
    raises is an answer that was lost. `before` may raise before anything is done.
    """

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str, dict[str, Any]], object] = lambda *_: None
        self.spoil: Callable[[str, dict[str, Any], Any], object] = lambda *_: None

    def execute_statement(self, **request: Any) -> Any:
        def insert() -> Any:
            is_new = self._insert(request)
            return {} if is_new else DuplicateError({"Error": {"Code": "DuplicateItemException"}}, "ExecuteStatement")

        return self._call("execute_statement", request, insert)

    def batch_execute_statement(self, **request: Any) -> Any:
        def insert() -> Any:
            answers = [{} if self._insert(each) else error("DuplicateItem") for each in request["Statements"]]
            return {"Responses": answers}

        return self._call("batch_execute_statement", request, insert)

    def query(self, **request: Any) -> Any:
        subject = request["ExpressionAttributeValues"][":subject"]["S"]
        return self._call(
            "query", request, lambda: {"Items": [self.rows[key] for key in sorted(self.rows) if key[0] == subject]}
        )

    def _call(self, operation: str, request: dict[str, Any], act: Callable[[], Any]) -> Any:
        self.calls[operation] += 1
        self.before(operation, request)
        answer = act()
        self.spoil(operation, request, answer)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _insert(self, statement: dict[str, Any]) -> bool:
        row = dict(zip(re.findall(r"'(\w+)': \?", statement["Statement"]), statement["Parameters"], strict=True))
        return self.rows.setdefault((row["subject"]["S"], int(row["sequence"]["N"])), row) is row


def error(code: str) -> dict[str, Any]:
    """Make a statement's answer that is an error."""
    return {"Error": {"Code": code}}


def lost(*_: Any) -> None:
    """Lose an answer, as a timeout does."""
    raise ReadTimeoutError(endpoint_url="dynamodb")


def refused(code: str, status: int = 400) -> ClientError:
    """Make an answer that refuses the whole call."""
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "BatchExecuteStatement"
    )
