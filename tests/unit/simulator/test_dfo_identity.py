import base64
import json

import jwt
import pytest

from local.simulator import Fault
from tests.tenant import HOST, ISSUER, KEY, START, Tenant

TENANT = "11eb0000-1111-4222-8333-444455556666"
UNTIMED = {"verify_exp": False, "verify_iat": False}


def jwks(tenant):
    return tenant.call("GET", "/auth/jwks").json["keys"]


def verified(tenant, token, audience="local-client"):
    key_id = jwt.get_unverified_header(token)["kid"]
    (key,) = [jwt.PyJWK(key) for key in jwks(tenant) if key["kid"] == key_id]
    return jwt.decode(token, key, ["RS256"], audience=audience, issuer=ISSUER, options=UNTIMED)


def test_the_issuer_says_where_tokens_and_keys_are():
    tenant = Tenant()
    answer = tenant.call("GET", "/.well-known/openid-configuration", base_url=ISSUER)
    assert answer.status == 200
    assert (
        answer.json.items()
        >= {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/auth/token",
            "jwks_uri": f"{ISSUER}/auth/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }.items()
    )
    tenant.set(dfo_issuer="https://cxone-gov.niceincontact.com")
    gov = tenant.call("GET", "/.well-known/openid-configuration", base_url=ISSUER).json
    assert gov["token_endpoint"] == "https://cxone-gov.niceincontact.com/auth/token"


def test_the_place_of_a_tenant_and_its_moves():
    tenant = Tenant()
    path = f"/.well-known/cxone-configuration?tenantId={TENANT}"
    first = tenant.call("GET", path, base_url=ISSUER).json
    assert (
        first.items()
        >= {
            "api_endpoint": "https://api-na1.niceincontact.com",
            "auth_endpoint": ISSUER,
            "area": "na1",
            "domain": "niceincontact.com",
            "tenantId": TENANT,
            "private": False,
        }.items()
    )
    tenant.set(dfo_area="ae1", dfo_domain="nicecxone.com", dfo_configuration_omits=["cluster"])
    second = tenant.call("GET", path).json
    assert (second["area"], second["api_endpoint"]) == ("ae1", "https://api-ae1.nicecxone.com")
    assert "cluster" not in second
    for query, status in (("", 400), ("?tenantId=", 400), ("?tenantId=another", 404)):
        assert tenant.call("GET", f"/.well-known/cxone-configuration{query}").status == status


def test_a_token_has_six_fields_and_a_signed_id_token():
    tenant = Tenant(token_lifetime_seconds=120)
    answer = tenant.ask_token()
    assert answer.status == 200
    assert answer.json.keys() == {
        "access_token", "token_type", "expires_in", "refresh_token", "id_token", "issued_token_type"
    }  # fmt: skip
    assert answer.json["expires_in"] == 120
    claims = verified(tenant, answer.json["id_token"])
    assert claims == {
        "iss": ISSUER,
        "aud": "local-client",
        "sub": claims["sub"],
        "tenantId": TENANT,
        "area": "na1",
        "iat": START,
        "exp": START + 120,
    }


def test_client_credentials_may_stand_in_the_body():
    tenant = Tenant()
    posted = {"client_id": "local-client", "client_secret": "local-secret&=+%"}
    assert tenant.ask_token(authorization=None, **posted).status == 200
    assert tenant.ask_token(authorization=None).status == 401


@pytest.mark.parametrize(
    ("authorization", "changes", "status", "error"),
    [
        ("Basic " + base64.b64encode(b"local-client:wrong").decode(), {}, 401, "invalid_client"),
        ("Basic %%%", {}, 401, "invalid_client"),
        ("default", {"password": "wrong"}, 400, "invalid_grant"),
        ("default", {"username": "nobody"}, 400, "invalid_grant"),
        ("default", {"password": None}, 400, "invalid_grant"),
        ("default", {"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ("default", {"grant_type": None}, 400, "unsupported_grant_type"),
        ("default", {"grant_type": "refresh_token"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_wrong_token_request(authorization, changes, status, error):
    given = {} if authorization == "default" else {"authorization": authorization}
    answer = Tenant().ask_token(**given, **changes)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert answer.json["errorDescription"]


def test_a_token_request_is_form_encoded():
    answer = Tenant().call("POST", "/auth/token", KEY, content_type="application/json")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert Tenant(dfo_wrong_key_status=401).ask_token(password="wrong").status == 401


def test_keys_rotate_and_old_ones_stay_or_go():
    tenant = Tenant()
    old = tenant.ask_token().json["id_token"]
    new_id = tenant.simulator.dfo.rotate_keys()
    new = tenant.ask_token().json["id_token"]
    assert jwt.get_unverified_header(new)["kid"] == new_id
    assert verified(tenant, old)
    assert verified(tenant, new)
    kept = tenant.call("POST", "/_simulator/dfo/keys/rotate", {"keep_old": False}).json["kid"]
    assert [key["kid"] for key in jwks(tenant)] == [kept]
    assert verified(tenant, tenant.ask_token().json["id_token"])
    assert {key["kty"] for key in jwks(tenant)} == {"RSA"}


def test_an_id_token_can_be_forged_or_of_somebody_else():
    tenant = Tenant(dfo_id_token="forged")
    with pytest.raises(jwt.InvalidSignatureError):
        verified(tenant, tenant.ask_token().json["id_token"])
    for fault, error in (("wrong_issuer", jwt.InvalidIssuerError), ("wrong_audience", jwt.InvalidAudienceError)):
        tenant.set(dfo_id_token=fault)
        with pytest.raises(error):
            verified(tenant, tenant.ask_token().json["id_token"])
    tenant.set(dfo_id_token="unsigned")
    assert jwt.get_unverified_header(tenant.ask_token().json["id_token"])["alg"] == "none"
    tenant.set(dfo_id_token="no_tenant")
    assert "tenantId" not in verified(tenant, tenant.ask_token().json["id_token"])
    tenant.set(dfo_id_token="expired")
    assert verified(tenant, tenant.ask_token().json["id_token"])["exp"] < START
    tenant.set(dfo_id_token="absent")
    assert "id_token" not in tenant.ask_token().json


def test_a_token_expires_and_can_be_revoked():
    tenant = Tenant(token_lifetime_seconds=60)
    assert tenant.send().status == 200
    tenant.now += 59.9
    assert tenant.send().status == 200
    tenant.now += 0.1
    refused = tenant.send()
    assert refused.status == 401
    assert refused.json["errors"][0]["message"]
    tenant.forget_token()
    assert tenant.send().status == 200
    assert tenant.simulator.revoke_tokens() == 2
    assert tenant.send().status == 401
    assert len(tenant.texts) == 3


@pytest.mark.parametrize("authorization", [None, "Bearer nothing", "Basic x"])
def test_every_digital_endpoint_needs_a_token(authorization):
    headers = {"Authorization": authorization} if authorization else {}
    for path in ("channels", "messages", "contacts", "me", "consumer-contact-custom-fields", "contacts/1/messages"):
        assert Tenant().call("GET", f"/dfo/3.0/{path}", **headers).status == 401


def test_a_moved_area_answers_neither_at_its_old_host_nor_below_its_old_path():
    tenant = Tenant()
    assert tenant.send(prefix="/area/na1", base_url="http://127.0.0.1:8090").status == 200
    tenant.set(dfo_area="eu1", dfo_moved_status=410)
    assert tenant.send(prefix="/area/na1", base_url="http://127.0.0.1:8090").status == 410
    assert tenant.send(base_url=HOST).status == 410
    assert tenant.send(prefix="/area/eu1", base_url="http://127.0.0.1:8090").status == 200
    assert tenant.send(base_url="https://api-de-eu1.niceincontact.com").status == 200
    assert tenant.send(base_url="http://127.0.0.1:8090").status == 200
    assert len(tenant.texts) == 4
    assert tenant.simulator.counts()["dfo.send"] == {"accepted": 4, "refused": 2}


def test_a_fault_has_the_shape_of_its_endpoint():
    tenant = Tenant()
    tenant.simulator.add_fault(Fault(operation="dfo.token", action="status", status=503))
    assert tenant.ask_token().json.keys() == {"error", "errorDescription"}
    tenant.simulator.add_fault(Fault(operation="dfo.send", action="status", status=401))
    assert [tenant.send().status for _ in range(2)] == [401, 200]
    tenant.simulator.add_fault(Fault(operation="dfo.keys", action="status", status=502, html=True))
    answer = tenant.call("GET", "/auth/jwks")
    assert (answer.status, answer.body[:6]) == (502, b"<html>")
    json.dumps([entry.as_json() for entry in tenant.simulator.log()])
