"""`PUT` and `GET /consents/{phoneNumber}` on the deployed stack."""

from urllib.parse import quote

import pytest

from tests.e2e.conftest import CAMPAIGN, codes


def path(number):
    return f"/consents/{quote(number, safe='')}"


def test_a_consent_is_stored_and_found(client):
    number = "+12025550155"
    given = {"status": "opted_in", "source": "web form", "campaignId": CAMPAIGN}
    stored = client.call("PUT", path(number), given)
    assert stored.status_code == 200, stored.text
    assert stored.json().items() >= {"phoneNumber": number, **given}.items()
    found = client.call("GET", path(number))
    assert (found.status_code, found.json()) == (200, stored.json())


def test_the_latest_word_counts_for_the_next_send(client):
    number = "+12025550156"
    body = {"to": number, "text": "Hello.", "campaignId": CAMPAIGN}
    client.opt_in(number)
    client.opt_in(number, "opted_out")
    assert codes(client.send(body)) == ["opted_out"]
    client.opt_in(number)
    assert client.send(body).status_code == 202


def test_every_word_stays_in_the_ledger_and_no_number_does(client):
    number = "+12025550157"
    for status in ("opted_in", "opted_out", "opted_in"):
        client.opt_in(number, status)
    items = client.ledger()
    hashes = {item["data"]["M"]["recipientHash"]["S"] for item in items if item["type"]["S"] == "consent"}
    assert all(
        item["subject"]["S"].removeprefix("consent#") in hashes for item in items if item["type"]["S"] == "consent"
    )
    said = [
        item["data"]["M"]["status"]["S"]
        for item in sorted(items, key=lambda item: int(item["sequence"]["N"]))
        if item["type"]["S"] == "consent" and item["data"]["M"]["recipient"]["S"].endswith("0157")
    ]
    assert said == ["opted_in", "opted_out", "opted_in"]
    assert number.removeprefix("+") not in str(items)


def test_an_unknown_number(client):
    answer = client.call("GET", path("+12025550158"))
    assert (answer.status_code, answer.json()["code"]) == (404, "consent_not_found")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_what_is_no_number(client, method):
    answer = client.call(method, path("+1555"), {"status": "opted_in", "source": "e2e"} if method == "PUT" else None)
    assert (answer.status_code, codes(answer)) == (422, ["invalid_recipient"])


@pytest.mark.parametrize("body", [b"", b"{}", {"status": "maybe", "source": "e2e"}, {"status": "opted_in"}])
def test_a_malformed_consent(client, body):
    answer = client.call("PUT", path("+12025550159"), body)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
