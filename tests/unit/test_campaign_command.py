import json
import sys

import pytest
import requests

from cli.campaign import __main__ as command
from cli.campaign.stacks import Stack


class Refusing:
    """An API that refuses every message of every batch."""

    def call(self, method, path, body=None, headers=None):
        answer = requests.Response()
        answer.status_code = 202 if method == "POST" else 404
        errors = [{"code": "not_opted_in", "field": "to", "message": "refused"}]
        messages = json.loads(body)["messages"] if method == "POST" else []
        rejected = [{"index": index, "errors": errors} for index in range(len(messages))]
        answer._content = json.dumps({"batchId": "bat_1", "accepted": 0, "rejected": rejected}).encode()
        return answer


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    path = tmp_path / "people.csv"
    path.write_text("to,name\n+12025550100,Ada\n+12025550101,Bob\n")
    monkeypatch.setattr(command, "find", lambda _: Stack(api=Refusing(), rate=96.0, max_segments=10))
    monkeypatch.setattr(sys, "argv", ["campaign", str(path), "--text", "Hi {name}", "--yes"])
    return command.main


def test_a_campaign_of_which_every_message_is_refused_fails_and_says_so(campaign, capsys):
    assert campaign() == 1
    output = "".join(capsys.readouterr())
    assert "nothing was sent: every message was refused" in output
    assert "2 not_opted_in" in output
    assert "every message is final" not in output
