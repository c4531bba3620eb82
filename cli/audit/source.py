"""Where the ledger is, and reading all of it: the table of a stack, or a copy of it in the same account."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from cli.stacks import StackError, local_description, look_up
from cli.target import Deployed
from cxone_messaging.adapters.dynamodb.values import attributes_of
from cxone_messaging.domain.entries import Value
from cxone_messaging.domain.phone_numbers import InvalidPhoneNumberError, PhoneNumber
from cxone_messaging.domain.pseudonyms import Pseudonyms


class AuditError(Exception):
    """The ledger can't be audited like this; the text says what to change and quotes nobody's number."""


class Source:
    """A ledger in DynamoDB, and the pepper that its hashes are keyed with."""

    def __init__(self, client: Callable[[str], Any], outputs: Mapping[str, str], table: str | None = None) -> None:
        self._client = client
        self._outputs = outputs
        self.table = table or self._output("LedgerTableName")

    @classmethod
    def find(cls, stack: str, table: str | None = None) -> Self:
        """Find a deployment's ledger, or another table beside it. Raises `AuditError`."""
        try:
            description = local_description(stack)
            if description is not None:
                deployed = Deployed(description)
                return cls(deployed.client, deployed.outputs, table)
            found = look_up(stack)
        except StackError as error:
            raise AuditError(str(error)) from None
        return cls(found.session.client, found.outputs, table)

    def items(self) -> Iterator[dict[str, Value]]:
        """Read every item of the table. Raises `AuditError`.

        Consistently, so that of a chain that somebody appends to meanwhile the earlier entries are read in any case.
        """
        try:
            scan = self._client("dynamodb").get_paginator("scan")
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
            pepper = self._client("secretsmanager").get_secret_value(SecretId=self._output("PepperSecretArn"))
        except InvalidPhoneNumberError as error:
            raise AuditError(f"RECIPIENT is no phone number: {error}") from None
        except (BotoCoreError, ClientError) as error:
            raise AuditError(f"the pepper can't be read: {error}") from None
        return Pseudonyms(pepper["SecretString"]).recipient_hash(recipient)

    def _output(self, name: str) -> str:
        if name not in self._outputs:
            raise AuditError(f"the stack has no output {name}; deploy it anew")
        return self._outputs[name]
