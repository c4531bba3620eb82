"""Consents: one small item a recipient, the ledger's latest word on them, quick to read before each send."""

from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.domain.consents import Consent, ConsentStatus
from cxone_messaging.domain.errors import StorageError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class ConsentStore(Protocol):
    """Each recipient's latest consent."""

    def find(self, recipient_hash: str) -> Consent | None:
        """Read a recipient's consent, as it was last stored."""
        ...

    def store(self, consent: Consent) -> None:
        """Store a consent unless a later one is stored already."""
        ...


class DynamoConsentStore:
    """Consents in DynamoDB, keyed by the recipient's hash."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def find(self, recipient_hash: str) -> Consent | None:
        """Read a recipient's consent, as it was last stored."""
        try:
            found = self._client.get_item(
                TableName=self._table, Key={"recipientHash": {"S": recipient_hash}}, ConsistentRead=True
            )
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the consents could not be read") from error
        item = found.get("Item")
        return None if item is None else _consent(item)

    def store(self, consent: Consent) -> None:
        """Store a consent unless a later one is stored already.

        Two changes at once may arrive here in either order; the ledger's order decides.
        """
        item: dict[str, AttributeValueTypeDef] = {
            "recipientHash": {"S": consent.recipient_hash},
            "recipient": {"S": consent.recipient},
            "status": {"S": consent.status.value},
            "source": {"S": consent.source},
            "updatedAt": {"S": consent.updated_at},
            "sequence": {"N": str(consent.sequence)},
        }
        if consent.campaign_id is not None:
            item["campaignId"] = {"S": consent.campaign_id}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(recipientHash) OR #sequence < :sequence",
                ExpressionAttributeNames={"#sequence": "sequence"},
                ExpressionAttributeValues={":sequence": item["sequence"]},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the consent could not be stored") from error


def _consent(item: "dict[str, AttributeValueTypeDef]") -> Consent:
    campaign_id = item.get("campaignId")
    return Consent(
        recipient_hash=item["recipientHash"]["S"],
        recipient=item["recipient"]["S"],
        status=ConsentStatus(item["status"]["S"]),
        source=item["source"]["S"],
        campaign_id=campaign_id["S"] if campaign_id else None,
        updated_at=item["updatedAt"]["S"],
        sequence=int(item["sequence"]["N"]),
    )
