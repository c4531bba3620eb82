"""What names what must not be stored in the clear."""

from cxone_messaging.adapters.secrets import SecretsManagerStore
from cxone_messaging.domain.pseudonyms import Pseudonyms
from cxone_messaging.platform import aws


def pseudonyms(pepper_secret_arn: str) -> Pseudonyms:
    """Put together what names what must not be stored in the clear."""
    return Pseudonyms(SecretsManagerStore(aws.secrets_manager()).read(pepper_secret_arn))
