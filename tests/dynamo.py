"""As much of DynamoDB's client as the ledger calls, in memory, with answers that can be lost."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from cxone_messaging.adapters.dynamodb.ledger import BATCH_INDEX, CXONE_MESSAGE_INDEX, DAY_INDEX, UNSETTLED_INDEX
from cxone_messaging.domain.attention import UNSETTLED_KEY
from cxone_messaging.domain.batches import BATCH_KEY
from cxone_messaging.domain.entries import DAY_KEY
from cxone_messaging.domain.ledger import CXONE_MESSAGE_KEY


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
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.items_read = 0
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
        return self._call("query", request, lambda: self._page(request))

    def _page(self, request: dict[str, Any]) -> dict[str, Any]:
        """Give one page of what a query finds, as long as its `Limit` says. A key has at most 2,048 bytes."""
        values = [each.get("S", "") for each in request["ExpressionAttributeValues"].values()]
        if any(len(each.encode("utf-8", "surrogatepass")) > 2048 for each in values):
            raise ClientError({"Error": {"Code": "ValidationException"}}, "Query")
        items = self._found(request)
        if not request.get("ScanIndexForward", True) and "IndexName" not in request:
            items.reverse()
        if "ExclusiveStartKey" in request:
            keys = [{"subject": each["subject"], "sequence": each["sequence"]} for each in items]
            items = items[keys.index(request["ExclusiveStartKey"]) + 1 :]
        limit = request.get("Limit", len(items) + 1)
        page = items[:limit]
        # DynamoDB gives this key whenever it stopped at the limit, whether there is more or not.
        more = len(page) == limit
        last = {"LastEvaluatedKey": {name: page[-1][name] for name in ("subject", "sequence")}} if more else {}
        self.items_read += len(page)
        return {"Items": page, **last}

    def _found(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Find what the ledger's queries ask for; an index here never lags, and has all attributes."""
        values = {name: value["S"] for name, value in request["ExpressionAttributeValues"].items()}
        index = request.get("IndexName")
        if index is None:
            return [self.rows[key] for key in sorted(self.rows) if key[0] == values[":subject"]]
        attribute = {
            BATCH_INDEX: BATCH_KEY,
            CXONE_MESSAGE_INDEX: CXONE_MESSAGE_KEY,
            DAY_INDEX: DAY_KEY,
            UNSETTLED_INDEX: UNSETTLED_KEY,
        }[index]
        wanted = values.get(":id") or values.get(":day") or values.get(":why")
        rows = [self.rows[key] for key in sorted(self.rows) if self.rows[key].get(attribute) == {"S": wanted}]
        if index == DAY_INDEX:
            return [row for row in rows if row["subject"]["S"] > values.get(":after", "")]
        if index == UNSETTLED_INDEX:
            dated = [row for row in rows if values[":since"] <= row["timestamp"]["S"] <= values[":until"]]
            return sorted(dated, key=lambda row: str(row["timestamp"]["S"]), reverse=True)
        return rows

    def _call(self, operation: str, request: dict[str, Any], act: Callable[[], Any]) -> Any:
        self.calls[operation] += 1
        self.before(operation, request)
        with self._lock:
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
