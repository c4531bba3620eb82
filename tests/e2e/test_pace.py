"""`GET` and `PUT /pace`, and `cxone-messaging pace`, on the deployed stack."""

import json

import pytest

from cli import pace

DEPLOYED = 100


@pytest.fixture
def restored(client):
    """Take the ceiling back, whatever a test has set: all tests share the stack."""
    yield
    assert client.call("PUT", "/pace", {"ceiling": DEPLOYED}).status_code == 200


def entries(client):
    audit = [item for item in client.ledger() if item["subject"]["S"] == "pace#account"]
    return sorted(audit, key=lambda item: int(item["sequence"]["N"]))


@pytest.mark.usefixtures("restored")
def test_a_ceiling_is_in_force_at_once_and_recorded(client):
    before = client.call("GET", "/pace").json()
    assert (before["ceiling"], before["deployedCeiling"], before["circuit"]) == (DEPLOYED, DEPLOYED, "closed")

    lowered = client.call("PUT", "/pace", {"ceiling": 20})
    assert lowered.status_code == 200, lowered.text
    assert (lowered.json()["ceiling"], lowered.json()["perMinute"]) == (20, 1200)
    assert client.call("GET", "/pace").json()["ceiling"] == 20

    last = entries(client)[-1]
    assert last["type"]["S"] == "pace.set"
    assert last["data"]["M"]["ceiling"]["S"] == "20"
    assert last["data"]["M"]["previousCeiling"]["S"] == str(DEPLOYED)


def test_what_is_no_ceiling_is_refused_and_not_recorded(client):
    before = entries(client)
    for number in (-1, DEPLOYED + 1, 1e300, 0.0001):
        answer = client.call("PUT", "/pace", {"ceiling": number})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "invalid_ceiling")
    assert client.call("PUT", "/pace", {"ceiling": "20"}).status_code == 400
    assert entries(client) == before


@pytest.mark.usefixtures("restored")
def test_an_operator_sets_it_by_command(client, stack_folder, capsys):
    target = str(stack_folder / "stack.json")
    assert pace.run(target, 30.5, yes=True, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["ceiling"] == 30.5
    assert pace.run(target) == 0
    assert "30.5 requests a second, set by an operator" in capsys.readouterr().out
    assert pace.run(target, DEPLOYED + 1, yes=True) == 1
    assert "at most three decimals" in capsys.readouterr().err
