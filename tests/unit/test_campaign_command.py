import json

import pytest
import requests

from cli.campaign import command
from cli.target import Target


class Refusing:
    """A stack whose API refuses every message of every batch."""

    rate, max_segments, default_country = 96.0, 10, "US"

    def call(self, method, path, body=None, headers=None):
        answer = requests.Response()
        errors = [{"code": "not_opted_in", "field": "to", "message": "refused"}]
        if path == "/messages/preview":
            answer.status_code = 200
            answer._content = json.dumps({"errors": errors, "earlier": None}).encode()
            return answer
        answer.status_code = 202
        messages = json.loads(body)["messages"]
        rejected = [{"index": index, "errors": errors} for index in range(len(messages))]
        answer._content = json.dumps({"batchId": "bat_1", "accepted": 0, "rejected": rejected}).encode()
        return answer


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    path = tmp_path / "people.csv"
    path.write_text("to,name\n+12025550100,Ada\n+12025550101,Bob\n")
    monkeypatch.setattr(Target, "find", lambda _: Refusing())
    return lambda **more: command.run(
        command.Options(file=path, name="people", text="Hi {name}", batch_size=10, **more)
    )


def test_a_campaign_of_which_every_message_is_refused_fails_and_says_so(campaign, capsys):
    assert campaign(yes=True) == 1
    output = "".join(capsys.readouterr())
    assert "nothing was sent: every message was refused" in output
    assert "2 not_opted_in" in output
    assert "every message is final" not in output


@pytest.mark.parametrize("yes", [True, False])
def test_a_script_reads_what_came_of_it_and_nothing_else_on_standard_output(campaign, capsys, yes):
    assert campaign(yes=yes, as_json=True) == (1 if yes else 0)
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (document["rows"], document["messages"], document["sent"], document["final"]) == (2, 2, yes, yes)
    assert "2 not_opted_in" in output.err
