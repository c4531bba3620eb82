"""The source of an audit: the ledger of a stack, or a copy of its table in the same account."""

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from cli.target import Target
from cxone_messaging.adapters.dynamodb.values import attributes_of
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.domain.typed_numbers import typed_number


class AuditError(Exception):
    """The ledger cannot be audited like this; the text says what to change and quotes no number."""


class Source:
    """A ledger in DynamoDB, a stack's own or another table beside it, and the pepper of its hashes."""

    def __init__(self, target: Target, table: str | None = None) -> None:
        self._target = target
        self.table = table or target.output("LedgerTableName")

    def items(self) -> Iterator[dict[str, Value]]:
        """Yield every item of the table. Raises `AuditError`.

        The read is consistent: if a writer appends to a chain meanwhile, all its earlier entries are read.
        """
        try:
            scan = self._target.client("dynamodb").get_paginator("scan")
            for page in scan.paginate(TableName=self.table, ConsistentRead=True):
                for item in page["Items"]:
                    # The ledger's keys: DynamoDB accepts no item without them.
                    if "S" not in item.get("subject", {}) or "N" not in item.get("sequence", {}):
                        raise AuditError(f"the table {self.table} is no ledger: its items have no subject and sequence")
                    yield attributes_of(item)
        except (BotoCoreError, ClientError) as error:
            raise AuditError(f"the table {self.table} can't be read: {error}") from None

    def recipient_hash(self, number: str) -> str:
        """Return the hash of a phone number in the ledger. Raises `AuditError`."""
        try:
            recipient = typed_number(number, self._target.default_country)
            pepper = self._target.client("secretsmanager").get_secret_value(
                SecretId=self._target.output("PepperSecretArn")
            )
        except InvalidPhoneNumberError as error:
            raise AuditError(f"RECIPIENT is no phone number: {error.hint}") from None
        except (BotoCoreError, ClientError) as error:
            raise AuditError(f"the pepper can't be read: {error}") from None
        return Pseudonyms(pepper["SecretString"]).recipient_hash(recipient)
