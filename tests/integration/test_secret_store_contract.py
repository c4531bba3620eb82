"""One contract for secrets, kept by the real store on two implementations of AWS and by the unit tests' stand-in."""

import uuid

import pytest

from cxone_messaging.adapters.secrets import SecretsManagerStore, UnreadableSecretError, read_object
from tests.fakes import FakeSecretStore

NOWHERE = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:nowhere-abcdef"


class Secrets:
    """A store, and a way to create secrets in it."""

    def __init__(self, client):
        self._client = client
        self.store = SecretsManagerStore(client)

    def create(self, text=None):
        options = {} if text is None else {"SecretString": text}
        return self._client.create_secret(Name=uuid.uuid4().hex, **options)["ARN"]


class ImaginedSecrets:
    def __init__(self):
        self.store = FakeSecretStore()

    def create(self, text=None):
        arn = uuid.uuid4().hex
        if text is not None:
            self.store.write(arn, text)
        return arn


@pytest.fixture(params=["fake", "moto", "secrets manager"])
def secrets(request):
    if request.param == "fake":
        return ImaginedSecrets()
    if request.param == "moto":
        return Secrets(request.getfixturevalue("moto").client("secretsmanager"))
    return Secrets(request.getfixturevalue("secrets_manager"))


@pytest.mark.parametrize("text", ["plain", '{"clientId": "a", "clientSecret": "ü&=+%"}', " ", "x" * 60_000])
def test_a_secret_is_read_as_it_was_created(secrets, text):
    assert secrets.store.read(secrets.create(text)) == text


def test_a_secret_is_replaced_whole_and_read_at_once(secrets):
    arn = secrets.create('{"token": "old"}')
    for number in range(3):
        secrets.store.write(arn, f'{{"token": "{number}"}}')
        assert read_object(secrets.store, arn) == {"token": str(number)}


def test_secrets_have_texts_of_their_own(secrets):
    one, other = secrets.create("one"), secrets.create("other")
    secrets.store.write(one, "new")
    assert (secrets.store.read(one), secrets.store.read(other)) == ("new", "other")


def test_a_secret_that_is_not_there_or_has_no_text_is_unreadable(secrets):
    for arn in (NOWHERE, secrets.create()):
        with pytest.raises(UnreadableSecretError):
            secrets.store.read(arn)
