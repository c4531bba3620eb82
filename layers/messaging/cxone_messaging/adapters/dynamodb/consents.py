"""Consents: one small item a recipient with the latest decision, quick to read before each send."""

import random
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.store_retries import Tries
from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.platform.clock import Clock, SystemClock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


# DynamoDB returns at most this many items in one call, and may leave some for the next.
_READ_LIMIT = 100


class ConsentStore(Protocol):
    """Each recipient's latest consent."""

    def find(self, recipient_hash: str) -> Consent | None:
        """Return a recipient's last stored consent, or None."""
        ...

    def find_many(self, recipient_hashes: Collection[str]) -> dict[str, Consent]:
        """Return the consents of many recipients by their hashes, without recipients that have none."""
        ...

    def store(self, consent: Consent, *, regardless: bool = False, ahead: bool = False) -> bool:
        """Store a consent unless a later one is already stored; return whether it was. `regardless` stores it anyway.

        `ahead` of its entry, a consent is not stored either where its sequence has a consent already.
        """
        ...


class DynamoConsentStore:
    """Consents in DynamoDB, keyed by the recipient's hash."""

    def __init__(
        self, client: "DynamoDBClient", table: str, *, clock: Clock | None = None, rng: random.Random | None = None
    ) -> None:
        self._client = client
        self._table = table
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311  jitter is no secret

    def find(self, recipient_hash: str) -> Consent | None:
        """Return a recipient's last stored consent, or None."""
        try:
            found = self._client.get_item(
                TableName=self._table, Key={"recipientHash": {"S": recipient_hash}}, ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the consents could not be read") from error
        item = found.get("Item")
        return None if item is None else _consent(item)

    def find_many(self, recipient_hashes: Collection[str]) -> dict[str, Consent]:
        """Return the consents of many recipients by their hashes, without recipients that have none.

        One call reads a hundred of them.
        """
        hashes = sorted(set(recipient_hashes))
        found: dict[str, Consent] = {}
        for first in range(0, len(hashes), _READ_LIMIT):
            for consent in map(_consent, self._read_some(hashes[first : first + _READ_LIMIT])):
                found[consent.recipient_hash] = consent
        return found

    def store(self, consent: Consent, *, regardless: bool = False, ahead: bool = False) -> bool:
        """Store a consent unless a later one is already stored; return whether it was. `regardless` stores it anyway.

        Two concurrent changes may arrive here in either order; the ledger's order decides. An event's opt-out is stored
        `ahead` of its entry, with the sequence that it is about to get, but not where another change has that sequence.
        """
        item: dict[str, AttributeValueTypeDef] = {
            "recipientHash": {"S": consent.recipient_hash},
            "recipient": {"S": consent.recipient},
            "status": {"S": consent.status.value},
            "source": {"S": consent.source},
            "updatedAt": {"S": consent.updated_at},
            "sequence": {"N": str(consent.sequence)},
        }
        optional = {"campaignId": consent.campaign_id, "givenAt": consent.given_at, "evidence": consent.evidence}
        item |= {name: {"S": value} for name, value in optional.items() if value is not None}
        earlier = "<" if ahead else "<="
        unless_later: Any = {
            "ConditionExpression": f"attribute_not_exists(recipientHash) OR #sequence {earlier} :sequence",
            "ExpressionAttributeNames": {"#sequence": "sequence"},
            "ExpressionAttributeValues": {":sequence": item["sequence"]},
        }
        try:
            self._client.put_item(TableName=self._table, Item=item, **({} if regardless else unless_later))
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the consent could not be stored") from error
        return True

    def _read_some(self, hashes: Sequence[str]) -> "list[dict[str, AttributeValueTypeDef]]":
        items: list[dict[str, AttributeValueTypeDef]] = []
        keys: Any = [{"recipientHash": {"S": each}} for each in hashes]
        for _ in Tries(self._clock, self._rng):
            request: Any = {self._table: {"Keys": keys, "ConsistentRead": True}}
            try:
                answer = self._client.batch_get_item(RequestItems=request)
            except (ClientError, BotoCoreError) as error:
                raise StorageError("the consents could not be read") from error
            items += answer["Responses"].get(self._table, [])
            rest = answer.get("UnprocessedKeys", {}).get(self._table)
            if not rest:
                return items
            keys = rest["Keys"]
        raise StorageError("the consents could not all be read")


def _consent(item: "dict[str, AttributeValueTypeDef]") -> Consent:
    return Consent(
        recipient_hash=item["recipientHash"]["S"],
        recipient=item["recipient"]["S"],
        status=ConsentStatus(item["status"]["S"]),
        source=item["source"]["S"],
        campaign_id=item.get("campaignId", {}).get("S"),
        updated_at=item["updatedAt"]["S"],
        sequence=int(item["sequence"]["N"]),
        given_at=item.get("givenAt", {}).get("S"),
        evidence=item.get("evidence", {}).get("S"),
    )
