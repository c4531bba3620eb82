"""Where the ledger is, and reading all of it: the table of a stack, or a copy of it in the same account."""

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from cli.target import Target
from cxone_messaging.adapters.dynamodb.values import attributes_of
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms


class AuditError(Exception):
    """The ledger can't be audited like this; the text says what to change and quotes nobody's number."""


class Source:
    """A ledger in DynamoDB, a stack's own or another table beside it, and the pepper that its hashes are keyed with."""

    def __init__(self, target: Target, table: str | None = None) -> None:
        self._target = target
        self.table = table or target.output("LedgerTableName")

    def items(self) -> Iterator[dict[str, Value]]:
        """Read every item of the table. Raises `AuditError`.

        Consistently, so that of a chain that somebody appends to meanwhile the earlier entries are read in any case.
        """
        try:
            scan = self._target.client("dynamodb").get_paginator("scan")
            for page in scan.paginate(TableName=self.table, ConsistentRead=True):
                for item in page["Items"]:
                    # A ledger's keys, without which DynamoDB lets nothing into one.
                    if "S" not in item.get("subject", {}) or "N" not in item.get("sequence", {}):
                        raise AuditError(f"the table {self.table} is no ledger: its items have no subject and sequence")
                    yield attributes_of(item)
        except (BotoCoreError, ClientError) as error:
            raise AuditError(f"the table {self.table} can't be read: {error}") from None

    def recipient_hash(self, number: str) -> str:
        """Give what stands in the ledger for a phone number. Raises `AuditError`."""
        try:
            recipient = PhoneNumber.parse(number)
            pepper = self._target.client("secretsmanager").get_secret_value(
                SecretId=self._target.output("PepperSecretArn")
            )
        except InvalidPhoneNumberError as error:
            raise AuditError(f"RECIPIENT is no phone number: {error}") from None
        except (BotoCoreError, ClientError) as error:
            raise AuditError(f"the pepper can't be read: {error}") from None
        return Pseudonyms(pepper["SecretString"]).recipient_hash(recipient)
