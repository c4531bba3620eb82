import pytest

from local.simulator import Request

SEND = "/api/v2/message/sms/send"
TEMPLATE = "/api/v1/messaging/templates/welcome"


def test_sms_token_grants_the_send_scope_for_its_lifetime(make):
    cxone = make(token_lifetime_seconds=600)
    answer = cxone.ask_token()
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 600
    assert answer.json["scope"] == "message:sms:send"

    token = f"Bearer {answer.json['access_token']}"
    cxone.clock.now += 599.9
    assert cxone.send(token).status == 202
    cxone.clock.now += 0.1
    assert cxone.send(token).status == 401


def test_admin_token_grants_what_was_asked_and_is_allowed(make):
    cxone = make(admin_scopes=("messaging:read", "a2p:write"))
    assert cxone.ask_token("admin", scope="a2p:write messaging:write").json["scope"] == "a2p:write"
    assert cxone.ask_token("admin", scope="messaging:write").json["error"] == "invalid_scope"
    assert cxone.ask_token("admin", scope=None).status == 400


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "local-secret&=+"}, 401, "invalid_client"),
        ({"client_secret": "falsch-ü"}, 401, "invalid_client"),
        ({"client_id": "someone"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "unsupported_grant_type"),
        ({"content_type": "application/json"}, 400, "invalid_request"),
    ],
)
@pytest.mark.parametrize("family", ["sms", "admin"])
def test_a_wrong_token_request_is_refused_with_its_error(cxone, family, changes, status, error):
    answer = cxone.ask_token(family, **changes)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert cxone.simulator.counts() == {f"token_{family}": {"refused": 1}}


def test_a_secret_concatenated_raw_is_not_understood(cxone):
    raw = b"grant_type=client_credentials&client_id=local-client&client_secret=local-secret&=+%"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert cxone.simulator.handle(Request("POST", "/api/v2/oauth/token", headers, raw)).status == 401


def test_a_token_is_good_for_its_own_family_only(cxone):
    assert cxone.call("GET", TEMPLATE, Authorization=cxone.bearer("sms")).status == 401
    assert cxone.send(cxone.bearer("admin")).status == 401


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer nonsense", "Basic abc"])
def test_without_a_valid_token_nothing_is_sent(cxone, header):
    answer = cxone.call("POST", SEND, {}, Authorization=header)
    assert answer.status == 401
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


def test_a_missing_scope_is_named(make):
    cxone = make(sms_scopes=("something:else",))
    answer = cxone.send()
    assert answer.status == 403
    assert answer.json["scope"] == "message:sms:send"

    token = cxone.bearer("admin", scope="a2p:write")
    for method, path, scope in (
        ("GET", TEMPLATE, "messaging:read"),
        ("PUT", TEMPLATE, "messaging:write"),
        ("POST", "/api/v1/webhooks", "webhooks:write"),
    ):
        answer = cxone.call(method, path, {}, Authorization=token)
        assert (answer.status, answer.json["scope"]) == (403, scope)
        assert scope in answer.headers["WWW-Authenticate"]
    assert cxone.call("POST", "/api/v1/a2p/registrations", {}, Authorization=token).status == 400


def test_revoked_tokens_are_refused(cxone):
    token = cxone.bearer()
    assert cxone.simulator.revoke_tokens() == 1
    assert cxone.send(token).status == 401
    assert cxone.send(cxone.bearer()).status == 202


def test_fetches_are_counted_by_family_and_slowed_down(make):
    cxone = make(token_latency_seconds=0.4, latency_median_seconds=0.1)
    assert cxone.ask_token().latency_seconds == 0.4
    assert cxone.ask_token("admin").latency_seconds == 0.4
    cxone.ask_token("admin")
    assert cxone.send().latency_seconds == 0.1
    assert cxone.simulator.counts()["token_sms"] == {"accepted": 2}
    assert cxone.simulator.counts()["token_admin"] == {"accepted": 2}
