"""What names what must not be stored in the clear."""

from cxone_messaging.adapters.secret_store import SecretsManagerStore, UnreadableSecretError
from cxone_messaging.domain.keys import key_fault
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws


def pseudonyms(pepper_secret_arn: str) -> Pseudonyms:
    """Put together what names what must not be stored in the clear. Raises `StorageError`."""
    pepper = SecretsManagerStore(aws.secrets_manager()).read(pepper_secret_arn)
    if fault := key_fault(pepper):
        raise UnreadableSecretError(f"the pepper {fault}")
    return Pseudonyms(pepper)
