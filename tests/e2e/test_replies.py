"""The local stack is subscribed to replies from its start: a STOP that CXone posts is in force."""

import time
from urllib.parse import quote

from tests.e2e.conftest import CAMPAIGN, codes

LEAVER = "+12025550178"


def test_a_stack_is_subscribed_before_any_template_is_approved(client):
    log = client.stack.simulator("log")["entries"]
    first = next(entry for entry in log if entry["operation"] == "subscribe")
    assert first["details"]["events"] == ["template.approved", "a2p.registered", "message.inbound"]
    assert first["details"]["url"] == client.stack.outputs["WebhookUrl"] + "/webhooks/cxone/events"
    assert not [each for each in log if each["operation"] == "template_put" and each["number"] < first["number"]]


def test_a_stop_that_cxone_posts_is_in_force(client):
    client.opt_in(LEAVER)
    body = {"to": LEAVER, "text": "Mind the reply.", "campaignId": CAMPAIGN}
    assert client.send(body).status_code == 202
    posted = client.stack.simulator("inbound", {"from": LEAVER, "to": "+15550100000", "text": "STOP"})
    assert posted["urls"] == [client.stack.outputs["WebhookUrl"] + "/webhooks/cxone/events"]
    give_up_at = time.monotonic() + 30
    while client.call("GET", f"/consents/{quote(LEAVER, safe='')}").json()["status"] != "opted_out":
        assert time.monotonic() < give_up_at
        time.sleep(0.2)
    refused = client.send(body)
    assert (refused.status_code, codes(refused)) == (422, ["opted_out"])


def test_the_schedule_and_the_command_find_it_done(client):
    before = client.stack.simulator("log")["counts"]["subscribe"]
    for event in (b'{"cxone-messaging": "subscribe"}', b'{"cxone-messaging": "subscribe", "now": true}'):
        name = client.stack.function("approve_template")
        answer = client.stack.client("lambda").invoke(FunctionName=name, Qualifier="live", Payload=event)
        assert b'"replies": "subscribed"' in answer["Payload"].read()
    assert client.stack.simulator("log")["counts"]["subscribe"] == before
