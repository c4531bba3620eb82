import json

import pytest

from local.simulator import Request


def test_it_tells_its_health_and_its_time(cxone):
    cxone.send()
    answer = cxone.call("GET", "/_simulator/health")
    assert answer.json == {"status": "ok", "time": cxone.clock.now, "messages": 1, "openEvents": 3}


def test_the_log_by_operation_and_since(cxone):
    cxone.send()
    cxone.send()
    everything = cxone.call("GET", "/_simulator/log").json
    assert everything["counts"] == {"send": {"accepted": 2}, "token_sms": {"accepted": 2}}
    assert [entry["number"] for entry in everything["entries"]] == [1, 2, 3, 4]
    later = cxone.call("GET", "/_simulator/log?operation=send&since=2").json["entries"]
    assert [(entry["number"], entry["operation"]) for entry in later] == [(4, "send")]
    assert cxone.call("GET", "/_simulator/log?since=yesterday").status == 400
    json.dumps(everything)


def test_it_shows_messages_and_their_events(cxone):
    answer = cxone.send()
    (message,) = cxone.call("GET", "/_simulator/messages").json["messages"]
    assert message["id"] == answer.json["id"]
    events = cxone.call("GET", "/_simulator/events").json["events"]
    assert [(e["state"], e["event"]["status"]) for e in events] == [
        ("pending", "queued"),
        ("pending", "sent"),
        ("pending", "delivered"),
    ]


def test_settings_can_be_changed_in_part_and_read_back_without_secrets(cxone):
    answer = cxone.call("PUT", "/_simulator/settings", {"requests_per_second": 1, "client_secret": "new"})
    assert answer.status == 200
    assert answer.json["requests_per_second"] == 1
    assert answer.json["token_lifetime_seconds"] == 3600
    assert "client_secret" not in answer.json
    assert cxone.ask_token().status == 401
    token = cxone.bearer(client_secret="new")
    assert [cxone.send(token).status for _ in range(2)] == [202, 429]
    shown = cxone.call("GET", "/_simulator/settings").json
    assert cxone.call("PUT", "/_simulator/settings", shown).json == shown
    assert cxone.ask_token(client_secret="new").status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("PUT", "settings", {"requests_per_second": 0}, "requests_per_second"),
        ("PUT", "settings", {"speed": 1}, "speed"),
        ("PUT", "settings", [], "object"),
        ("PUT", "settings", {"latency_median_seconds": float("inf")}, "latency_median_seconds"),
        ("POST", "faults", {"action": "explode"}, "action"),
        ("POST", "faults", {"action": "status"}, "needs a status"),
        ("POST", "templates/welcome", {"colour": "red"}, "colour"),
        ("POST", "inbound", {"from": "nobody", "to": "24680", "text": ""}, "from"),
    ],
)
def test_bad_input_gets_a_reason(cxone, method, path, body, reason):
    answer = cxone.call(method, f"/_simulator/{path}", body)
    assert answer.status == 400
    assert reason in answer.json["detail"]


@pytest.mark.parametrize("path", ["/_simulator/settings", "/_simulator/faults"])
def test_a_body_that_is_not_json(cxone, path):
    method = "PUT" if path.endswith("settings") else "POST"
    assert cxone.simulator.handle(Request(method, path, {}, b"{")).status == 400
    assert cxone.simulator.handle(Request(method, path, {}, b"\xff")).status == 400


def test_faults_are_armed_listed_and_dropped(cxone):
    rule = {"operation": "send", "action": "status", "status": 503, "times": "forever"}
    number = cxone.call("POST", "/_simulator/faults", rule).json["id"]
    cxone.send()
    (shown,) = cxone.call("GET", "/_simulator/faults").json["faults"]
    assert shown.items() >= {**rule, "id": number, "matched": 1, "acted": 1}.items()
    assert cxone.call("DELETE", f"/_simulator/faults/{number}").status == 204
    assert cxone.call("DELETE", f"/_simulator/faults/{number}").status == 404
    assert cxone.send().status == 202
    cxone.call("POST", "/_simulator/faults", rule)
    assert cxone.call("DELETE", "/_simulator/faults").status == 204
    assert cxone.send().status == 202


def test_templates_are_made_and_changed(cxone):
    made = cxone.call("POST", "/_simulator/templates/promo", {"content": "Sale!", "from_address": "13579"})
    assert (made.status, made.json["etag"], made.json["status"]) == (200, '"v1"', "DRAFT")
    changed = cxone.call("POST", "/_simulator/templates/promo", {"locked": True})
    assert (changed.json["etag"], changed.json["locked"], changed.json["content"]) == ('"v2"', True, "Sale!")
    fetched = cxone.call("GET", "/api/v1/messaging/templates/promo", Authorization=cxone.bearer("admin"))
    assert fetched.json["meta"] == changed.json["meta"]


def test_a_revoked_token_is_refused(cxone):
    token = cxone.bearer()
    assert cxone.call("POST", "/_simulator/tokens/revoke").json == {"revoked": 1}
    assert cxone.send(token).status == 401


def test_reset_forgets_everything(cxone):
    token = cxone.bearer()
    cxone.send(token)
    cxone.call("PUT", "/_simulator/settings", {"requests_per_second": 7})
    cxone.call("POST", "/_simulator/faults", {"action": "reset", "times": "forever"})
    assert cxone.call("POST", "/_simulator/reset").status == 204
    assert cxone.call("GET", "/_simulator/log").json == {"counts": {}, "entries": []}
    assert cxone.simulator.settings.requests_per_second == 100
    assert cxone.call("GET", "/_simulator/faults").json == {"faults": []}
    assert cxone.send(token).status == 401


def test_unknown_paths_wrong_methods_and_large_bodies(cxone):
    for prefix, known in (("", "/oauth/token"), ("/_simulator", "/reset")):
        assert cxone.call("GET", f"{prefix}/nothing").status == 404
        wrong = cxone.call("GET", f"{prefix}{known}")
        assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
        assert cxone.simulator.handle(Request("POST", f"{prefix}{known}", {}, b"x" * 1_000_001)).status == 413
    statuses = [entry.status for entry in cxone.simulator.log("unknown")]
    assert statuses == [404, 405, 413]
