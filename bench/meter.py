"""Meters a function's invocations: AWS calls, DynamoDB units, log lines, wall and CPU time.

Capacity units are counted as DynamoDB bills them, from the items that go over the wire: a write is a unit for each KB
of an item and another for each index that the item stands in; a consistent read is one for each 4 KB.
"""

import io
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bench import calls, workers
from local import template

_KB = 1024
_NAMES = re.compile(r"'(\w+)': \?")
_TABLE = re.compile(r'"(\w+)"')
# CloudWatch Logs bills 26 bytes more for each event than its text.
_LOG_EVENT_BYTES = 26
_UNSAMPLED = "Root=1-66aa1b2c-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0"
# What Lambda itself logs of an invocation: START, END and REPORT, with their request ids.
PLATFORM_LOG_LINES = (
    "START RequestId: 00000000-0000-0000-0000-000000000000 Version: $LATEST\n",
    "END RequestId: 00000000-0000-0000-0000-000000000000\n",
    (
        "REPORT RequestId: 00000000-0000-0000-0000-000000000000\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t"
        "Memory Size: 1024 MB\tMax Memory Used: 100 MB\t\n"
    ),
)


class Context(workers.Context):
    """The context of an invocation, as Powertools reads it."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"
    aws_request_id = "00000000-0000-0000-0000-000000000000"


class Meter:
    """The meter of a function's invocations; a process has one, made before the function is imported."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        # On Lambda a tracer is on; of most invocations it keeps nothing.
        os.environ.update(LAMBDA_TASK_ROOT=".", _X_AMZN_TRACE_ID=_UNSAMPLED)
        self.reset()
        self._counting = False
        self._output = sys.stdout = _Output()
        self._indexes = _indexes()
        calls.watch(self._count)

    def reset(self) -> None:
        """Reset all figures."""
        self.invocations = 0
        self.calls: Counter[str] = Counter()
        self.write_units = 0
        self.read_units = 0.0
        self.index_write_units = 0
        self.largest_item = 0
        self.items_read = 0
        self.log_bytes = 0
        self.wall_seconds = 0.0
        self.cpu_seconds = 0.0

    @contextmanager
    def invocation(self) -> Iterator[None]:
        """Meter one invocation."""
        self._counting, self._output.bytes, self._output.lines = True, 0, 0
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu
            self._counting = False
            self.invocations += 1
            platform = sum(len(line) + _LOG_EVENT_BYTES for line in PLATFORM_LOG_LINES)
            self.log_bytes += self._output.bytes + self._output.lines * _LOG_EVENT_BYTES + platform

    def taken(self) -> dict[str, Any]:
        """Return all figures, and reset them."""
        figures = {
            "invocations": self.invocations,
            "calls": dict(sorted(self.calls.items())),
            "writeUnits": self.write_units,
            "indexWriteUnits": self.index_write_units,
            "readUnits": self.read_units,
            "itemsRead": self.items_read,
            "largestItemBytes": self.largest_item,
            "logBytes": self.log_bytes,
            "wallSeconds": self.wall_seconds,
            "cpuSeconds": self.cpu_seconds,
        }
        self.reset()
        return figures

    def _count(self, operation: str, parameters: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        if not self._counting:
            return
        self.calls[operation] += 1
        match operation:
            case "ExecuteStatement" | "BatchExecuteStatement":
                for statement in parameters.get("Statements", [parameters]):
                    self._write(*_inserted(statement))
            case "PutItem":
                self._write(parameters["TableName"], parameters["Item"])
            case "UpdateItem":
                self._write(parameters["TableName"], {})  # of items below a KB, in no index
            case "GetItem":
                self._read([answer.get("Item", {})], parameters)
            case "BatchGetItem":
                ((table, keys),) = parameters["RequestItems"].items()
                for item in answer["Responses"].get(table, []):
                    self._read([item], keys)
            case "Query":
                self._read(answer.get("Items", []), parameters)

    def _write(self, table: str, item: Mapping[str, Any]) -> None:
        size = item_bytes(item)
        self.largest_item = max(self.largest_item, size)
        self.write_units += max(1, math.ceil(size / _KB))
        self.index_write_units += sum(keys <= item.keys() for keys in self._indexes.get(table, []))

    def _read(self, items: list[Mapping[str, Any]], parameters: Mapping[str, Any]) -> None:
        units = max(1, math.ceil(sum(map(item_bytes, items)) / (4 * _KB)))
        self.read_units += units if parameters.get("ConsistentRead") else units / 2
        self.items_read += sum(map(bool, items))


class _Output(io.TextIOBase):
    """A stream that counts the size of a function's output."""

    def __init__(self) -> None:
        self.bytes = 0
        self.lines = 0

    def write(self, text: str, /) -> int:
        self.bytes += len(text.encode())
        self.lines += text.count("\n")
        return len(text)


def item_bytes(item: Mapping[str, Any]) -> int:
    """Return an item's size as DynamoDB computes it."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Any) -> int:
    if not isinstance(value, dict):  # a resource's own types
        return len(str(value).encode())
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return math.ceil(len(content) / 2) + 1
        case "M":
            return 3 + len(content) + item_bytes(content)
        case "L":
            return 3 + len(content) + sum(map(_value_bytes, content))
        case _:
            return 1


def _inserted(statement: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    text = statement["Statement"]
    table = _TABLE.search(text)
    if table is None:
        raise ValueError("an INSERT names its table")
    return table[1], dict(zip(_NAMES.findall(text), statement["Parameters"], strict=True))


def _indexes() -> dict[str, list[set[str]]]:
    """Return each table's indexes by their keys; an item without the key is not in the index."""
    return {
        table: [
            {key["AttributeName"] for key in index["KeySchema"]}
            for index in template.table(table, table).get("GlobalSecondaryIndexes", [])
        ]
        for table in template.resources("AWS::DynamoDB::Table")
    }
