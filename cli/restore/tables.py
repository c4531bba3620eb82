"""Tables that DynamoDB may still be restoring."""

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

# A large table takes hours to restore; botocore's own waiter gives up after 500 seconds.
PATIENCE_SECONDS = 24 * 3600.0
_PAUSE_SECONDS = 20.0


class RestoreError(Exception):
    """Nothing can be compared or put back like this; the text says what to change."""


def wait_until_active(
    dynamodb: Any,
    table: str,
    sleep: Callable[[float], object] = time.sleep,
    patience_seconds: float = PATIENCE_SECONDS,
) -> str:
    """Return the ARN of a table once it is active, which a restore of it may take hours for. Raises `RestoreError`."""
    waited = 0.0
    while True:
        try:
            found = dynamodb.describe_table(TableName=table)["Table"]
        except dynamodb.exceptions.ResourceNotFoundException:
            remedy = "restore it under that name first (docs/runbook.md, Restore the ledger)"
            raise RestoreError(f"there is no table {table}: {remedy}") from None
        except (BotoCoreError, ClientError) as error:
            raise RestoreError(f"the table {table} can't be looked up: {error}") from None
        if found["TableStatus"] == "ACTIVE":
            return str(found["TableArn"])
        if waited >= patience_seconds:
            raise RestoreError(f"the table {table} is still {found['TableStatus']}; run the same command again later")
        sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
