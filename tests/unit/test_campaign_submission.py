import json

import pytest
import requests

from cli.campaign.people import CampaignError, People
from cli.campaign.plan import Campaign
from cli.campaign.submission import Watch, submit


def answer(status, body=None, **headers):
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps(body or {}).encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


class Api:
    """Gives answers in their order, or raises those that are errors."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    def call(self, method, path, body=None, headers=None):
        self.calls.append((method, path, body, headers))
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given, Exception):
            raise given
        return given


TAKEN = answer(202, {"batchId": "bat", "accepted": 1, "rejected": [{"index": 1, "errors": [{"code": "opted_out"}]}]})


@pytest.fixture
def batch(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("to\n+12025550100\n\n+12025550101\n")
    campaign = Campaign(name="spring", people=People(path), text="Hello")
    (batch,) = campaign.batches(campaign.rows())
    return batch


class TestSubmit:
    def test_what_the_api_refuses_is_told_by_line(self, batch):
        api = Api(TAKEN)
        submitted = submit(api, batch)
        assert (submitted.batch_id, submitted.accepted, submitted.replayed) == ("bat", 1, False)
        assert [(row.line, row.masked, row.codes) for row in submitted.refused] == [(4, "+*******0101", ("opted_out",))]
        assert api.calls == [("POST", "/messages/bulk", batch.body, {"Idempotency-Key": batch.key})]

    @pytest.mark.parametrize(
        "trouble",
        [
            requests.ConnectionError(),
            requests.ReadTimeout(),
            answer(409, {"code": "in_progress"}, Retry_After="2"),
            answer(429, {"message": "Too Many Requests"}),
            answer(500, {"code": "internal_error"}),
            answer(504, {"message": "Endpoint request timed out"}),
        ],
        ids=repr,
    )
    def test_what_may_help_is_tried_again_with_the_same_key(self, batch, trouble):
        pauses = []
        api = Api(trouble, trouble, TAKEN)
        assert submit(api, batch, pauses.append).batch_id == "bat"
        assert {call[3]["Idempotency-Key"] for call in api.calls} == {batch.key}
        assert len(pauses) == 2
        if isinstance(trouble, requests.Response) and trouble.headers:
            assert pauses == [2, 2]

    @pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
    def test_what_cannot_help_is_not(self, batch, status):
        api = Api(answer(status, {"code": "some_code", "detail": "why"}))
        with pytest.raises(CampaignError, match=f"{status} some_code why"):
            submit(api, batch, None)
        assert len(api.calls) == 1

    def test_it_gives_up_after_a_while(self, batch):
        pauses = []
        with pytest.raises(CampaignError, match="does not answer"):
            submit(Api(requests.ConnectionError()), batch, pauses.append)
        assert 300 < sum(pauses) < 320


class TestWatch:
    @pytest.fixture
    def submitted(self, batch):
        return submit(Api(TAKEN), batch)

    def test_it_follows_a_batch_to_its_end(self, submitted):
        now = [100.0]
        counts = [{"queued": 1}, {"dispatched": 1}, {"unknown": 1}]
        watch = Watch(Api(*(answer(200, {"counts": each}) for each in counts)), lambda: now[0])
        watch.add(submitted)
        assert (watch.total, watch.counts, watch.is_over) == (1, {"queued": 1}, False)
        changed = []
        for _ in counts:
            now[0] += 10
            watch.look()
            changed.append(watch.changed_at)
        assert (watch.counts, watch.is_over) == ({"unknown": 1}, True)
        assert changed == [100, 120, 130]
        assert watch.next_look_in == 1

    @pytest.mark.parametrize("trouble", [requests.ConnectionError(), answer(502), answer(429)], ids=repr)
    def test_no_answer_changes_nothing(self, submitted, trouble):
        watch = Watch(Api(trouble))
        watch.add(submitted)
        watch.look()
        assert (watch.counts, watch.is_over) == ({"queued": 1}, False)

    def test_slow_answers_are_asked_for_less_often(self, submitted):
        now = [0.0]

        class Slow(Api):
            def call(self, *args):
                now[0] += 3
                return super().call(*args)

        watch = Watch(Slow(answer(200, {"counts": {}})), lambda: now[0])
        watch.add(submitted)
        watch.look()
        assert watch.next_look_in == 12

    def test_a_batch_of_nobody_is_over(self):
        api = Api(answer(202, {"batchId": "bat", "accepted": 0, "rejected": []}))
        watch = Watch(api)
        watch.add(submit(api, type("Batch", (), {"body": b"", "key": "key", "messages": ()})))
        assert watch.is_over
