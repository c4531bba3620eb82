"""The channels that messages went out by: a set in one item of the Coordination table.

Replies to all of them are collected. So a channel is read also after another one was configured, and one that only a
request named.
"""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

_KEY: "Mapping[str, AttributeValueTypeDef]" = {"name": {"S": "channels"}}


class UsedChannels:
    """The set. A process adds a channel once."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._added: set[str] = set()

    def add(self, channel: str) -> None:
        """Add a channel, unless this process has. Raises `StorageError`."""
        if channel in self._added:
            return
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="ADD ids :ids",
                ExpressionAttributeValues={":ids": {"SS": [channel]}},
            )
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the channel could not be added") from error
        self._added.add(channel)

    def read(self) -> frozenset[str]:
        """Return all channels. Raises `StorageError`."""
        try:
            answer = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the channels could not be read") from error
        return frozenset(answer.get("Item", {}).get("ids", {}).get("SS", ()))
