import random

import pytest

from local.simulator import MAIN_CHANNEL, Channel, Delivery
from local.simulator.dfo import search
from tests.tenant import NUMBER, START, Tenant

UNTRACKED = "sms_local_15550000001"
DELIVERED = {"isSuccess": True, "deliveredAt": "2026-01-01T00:00:10.000+00:00", "reason": None}


def pages(tenant, path="messages", **query):
    """The texts, or numbers, of all pages; and the hits that each page gives."""
    found, hits, token = [], [], None
    while True:
        answer = tenant.get(path, query | ({"scrollToken": token} if token else {}))
        assert answer.status == 200, answer
        found.append([each.get("id") for each in answer.json["data"]])
        hits.append(answer.json["hits"])
        if (token := answer.json.get("scrollToken")) is None:
            return found, hits


def filled(**settings):
    tenant = Tenant(**settings)
    for number in range(60):
        tenant.send(f"text {number}", number=f"14155550{number % 7:03}")
        tenant.now += 1
    return tenant


def test_pages_from_the_newest_to_the_oldest():
    tenant = filled()
    sent = [message.id for message in tenant.simulator.accepted_messages()]
    found, hits = pages(tenant, direction="outbound", **{"channel[]": MAIN_CHANNEL})
    assert [len(page) for page in found] == [25, 25, 10]
    assert [message for page in found for message in page] == sent[::-1]
    assert set(hits) == {60}
    upward, _ = pages(tenant, sorting="createdAt", sortingType="asc")
    assert [message for page in upward for message in page] == sent


def test_what_is_sent_meanwhile_moves_no_page():
    tenant = filled()
    sent = [message.id for message in tenant.simulator.accepted_messages()]
    first = tenant.get("messages").json
    tenant.send("newer")
    second = tenant.get("messages", {"scrollToken": first["scrollToken"]}).json
    assert [each["id"] for each in second["data"]] == sent[::-1][25:50]
    assert (second["hits"], tenant.get("messages").json["hits"]) == (60, 61)


def test_only_an_empty_page_is_without_a_token():
    tenant = filled(dfo_last_page="token", dfo_page_size=30)
    found, _ = pages(tenant)
    assert [len(page) for page in found] == [30, 30, 0]


def test_filters():
    tenant = filled()
    tenant.send("Elsewhere", channel=UNTRACKED)
    tenant.simulator.dfo.inbound(MAIN_CHANNEL, NUMBER, "STOP please")
    assert tenant.found(direction="inbound") == ["STOP please"]
    assert tenant.found(contentContains="stop") == ["STOP please"]
    assert tenant.found(contentContains="XT 59") == ["text 59"]
    assert tenant.found(contentContains="text", contentNotContains="text") == []
    assert tenant.found(**{"channel[]": UNTRACKED}) == ["Elsewhere"]
    assert tenant.found(**{"channel[]": [UNTRACKED, MAIN_CHANNEL]})[:3] == ["STOP please", "Elsewhere", "text 59"]
    assert tenant.found(**{"authorIdOnExternalPlatform[]": NUMBER}) == ["STOP please"]
    (message,) = tenant.get("messages", {"contentContains": "text 42"}).json["data"]
    assert tenant.found(**{"idOnExternalPlatform[]": [message["idOnExternalPlatform"], "ext-x"]}) == ["text 42"]
    of_contact = [f"text {number}" for number in range(56, -1, -7)]
    assert tenant.found(contactNumber=message["contactNumber"]) == of_contact
    assert tenant.found(contactNumber=message["contactNumber"], direction="inbound") == []
    assert tenant.found(contactNumber="1") == []
    listed = tenant.get(f"contacts/{message['contactNumber']}/messages").json
    assert [each["messageContent"]["payload"]["text"] for each in listed["data"]] == of_contact
    assert tenant.get("contacts/1/messages").status == 404


def test_words_instead_of_a_part_of_the_text():
    tenant = Tenant(dfo_content_match="words")
    tenant.send("Your code is ABC")
    assert tenant.found(contentContains="abc code") == ["Your code is ABC"]
    assert tenant.found(contentContains="cod") == []


def test_days():
    tenant = Tenant(token_lifetime_seconds=1_000_000)
    for day in range(3):
        tenant.now = START + 86_400 * day + 86_399.9
        tenant.send(f"day {day + 1}")
    span = {"date[from]": "2026-01-02", "date[to]": "2026-01-02"}
    assert tenant.found(**span) == ["day 2"]
    assert tenant.found(**{"date[from]": "2026-01-02"}) == ["day 3", "day 2"]
    assert tenant.get("messages", span).json["hits"] == 1


@pytest.mark.parametrize(
    "query",
    [
        {"date[from]": "yesterday"},
        {"direction": "up"},
        {"sorting": "size"},
        {"sortingType": "up"},
        {"scrollToken": "!"},
        {"scrollToken": "e30="},
        {"colour": "red"},
    ],
)
def test_a_search_that_makes_no_sense(query):
    answer = Tenant().get("messages", query)
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, next(iter(query)))


def test_a_search_lags_and_a_single_get_does_not():
    tenant = Tenant(dfo_index_lag_seconds=90, dfo_delivery=Delivery(delivered_after=10))
    message = tenant.send().json["message"]
    tenant.now += 89.9
    assert (tenant.found(), tenant.get("messages").json["hits"]) == ([], 0)
    assert tenant.get("contacts").json == {"hits": 0, "data": []}
    assert tenant.get(f"contacts/{message['contactNumber']}/messages").status == 404
    assert tenant.message(message["id"])["delivered"] == [DELIVERED]
    tenant.now += 0.2
    assert tenant.get("messages").json["data"][0]["delivered"] == []
    tenant.now += 10
    assert tenant.get("messages").json["data"][0]["delivered"] == [DELIVERED]


def test_the_fields_of_a_contact_lag_too():
    tenant = Tenant(dfo_index_lag_seconds=60)
    for number in "12":
        tenant.send(contact={"customFields": [{"ident": "reference", "value": number}]})
        tenant.now += 30
    tenant.now += 20
    assert tenant.get("contacts").json["data"][0]["customFields"] == [{"ident": "reference", "value": "1"}]
    tenant.now += 10
    assert tenant.get("contacts").json["data"][0]["customFields"] == [{"ident": "reference", "value": "2"}]


def test_an_inbound_text_of_the_past_takes_its_place_and_is_found_when_it_is_stored():
    tenant = filled(dfo_index_lag_seconds=5)
    tenant.now += 10
    late = tenant.simulator.dfo.inbound(MAIN_CHANNEL, f"+{NUMBER}", "STOP", at=START + 30.5)
    assert (tenant.found(direction="inbound"), tenant.get("messages").json["hits"]) == ([], 60)
    tenant.now += 5
    assert (tenant.found(direction="inbound"), tenant.get("messages").json["hits"]) == (["STOP"], 61)
    message = tenant.message(late)
    assert message["createdAtWithMilliseconds"] == "2026-01-01T00:00:30.500+00:00"
    assert message["authorEndUserIdentity"]["idOnExternalPlatform"] == NUMBER
    assert message["recipients"] == [{"idOnExternalPlatform": "15550000000"}]
    found, _ = pages(tenant)
    order = [message for page in found for message in page]
    assert order.index(late) == 29


def test_a_reply_is_of_the_contact_of_the_send():
    tenant = Tenant()
    contact = tenant.send().json["consumerContact"]["id"]
    answer = tenant.call("POST", "/_simulator/dfo/inbound", {"number": f"+{NUMBER}", "text": "STOP"})
    assert answer.status == 201
    assert tenant.message(answer.json["id"])["contactNumber"] == contact
    assert tenant.call("POST", "/_simulator/dfo/inbound", {"number": "x", "text": "STOP"}).status == 400
    unknown = {"channel": "sms_nobody", "number": NUMBER, "text": "STOP"}
    assert tenant.call("POST", "/_simulator/dfo/inbound", unknown).status == 404
    assert tenant.texts == ["hello"], "what a recipient writes was not handed over by us"
    assert len(tenant.call("GET", "/_simulator/dfo/messages").json["messages"]) == 2


def test_contacts():
    tenant = filled()
    tenant.send("x", number="14155550000", channel=UNTRACKED)
    found, hits = pages(tenant, "contacts")
    assert (len(found[0]), hits) == (8, [8])
    query = {"endUserIdOnExternalPlatform[]": "+14155550000"}
    assert tenant.get("contacts", query).json["hits"] == 2
    assert tenant.get("contacts", query | {"channel[]": UNTRACKED}).json["hits"] == 1
    assert tenant.get("contacts", {"status[]": "resolved"}).json["hits"] == 0
    assert tenant.get("contacts", {"status[]": ["new", "resolved"]}).json["hits"] == 8
    tenant.set(dfo_page_size=3)
    found, _ = pages(tenant, "contacts")
    assert [len(page) for page in found] == [3, 3, 2]
    assert tenant.get("contacts", {"colour": "red"}).status == 400


@pytest.mark.parametrize(
    ("delivery", "expected"),
    [
        ({}, []),
        ({"delivered_after": 10}, [DELIVERED]),
        (
            {"failed_after": 10, "reason": "no such number"},
            [{"isSuccess": False, "deliveredAt": DELIVERED["deliveredAt"], "reason": "no such number"}],
        ),
    ],
)
def test_what_becomes_of_a_text(delivery, expected):
    tenant = Tenant(dfo_delivery=Delivery(**delivery))
    message = tenant.send().json["message"]["id"]
    tenant.now += 9.9
    assert tenant.message(message)["delivered"] == []
    tenant.now += 0.2
    assert tenant.message(message)["delivered"] == expected


def test_seen():
    tenant = Tenant(dfo_delivery=Delivery(delivered_after=1, seen_after=20))
    message = tenant.send().json["message"]["id"]
    tenant.now += 19
    assert tenant.message(message)["customerStatistics"] == {"seenAt": None}
    tenant.now += 1
    assert tenant.message(message)["customerStatistics"] == {"seenAt": "2026-01-01T00:00:20.000+00:00"}


def test_the_other_shapes_of_delivered():
    tenant = Tenant(dfo_delivered_shape="chat_sdk", dfo_delivery=Delivery(delivered_after=10, seen_after=20))
    good, bad = tenant.send().json["message"]["id"], tenant.send(number="14155550001").json["message"]["id"]
    tenant.now += 20
    shown = tenant.message(good)
    assert shown["delivered"][0].items() >= {"deliveredAt": DELIVERED["deliveredAt"]}.items()
    assert "isSuccess" not in shown["delivered"][0]
    assert shown["seen"][0]["seenAt"] == "2026-01-01T00:00:20.000+00:00"
    assert tenant.message(bad)["delivered"] == []
    tenant.set(dfo_delivered_shape="absent")
    assert "delivered" not in tenant.message(good)


def test_by_the_end_of_the_number_and_by_message():
    tenant = Tenant(dfo_deliveries={"99": {"delivered_after": None}, "199": {"failed_after": 1}})
    kept, failed = (tenant.send(number=f"14155550{end}").json["message"]["id"] for end in ("099", "199"))
    tenant.now += 100
    assert tenant.message(kept)["delivered"] == []
    assert tenant.message(failed)["delivered"][0]["isSuccess"] is False
    tenant.simulator.dfo.set_delivery(kept, Delivery(delivered_after=5))
    assert tenant.message(kept)["delivered"] == []
    tenant.now += 5
    assert tenant.message(kept)["delivered"][0]["deliveredAt"] == "2026-01-01T00:01:45.000+00:00"
    path = f"/_simulator/dfo/messages/{kept}/delivery"
    assert tenant.call("PUT", path, {"failed_after": 0.0, "reason": "late"}).status == 204
    assert tenant.message(kept)["delivered"][0]["reason"] == "late"
    assert tenant.call("PUT", "/_simulator/dfo/messages/x/delivery", {}).status == 404


def test_a_channel_that_does_not_track_delivery_says_nothing_of_it():
    tenant = Tenant()
    message = tenant.send(channel=UNTRACKED).json["message"]["id"]
    tenant.now += 100
    assert "delivered" not in tenant.message(message)


def test_channels():
    tenant = Tenant()
    first, second, third = tenant.get("channels").json
    assert first.items() >= {"id": MAIN_CHANNEL, "realExternalPlatformId": "sms", "hasOutboundFlow": True}.items()
    assert [each["isTrackingMessageDeliveryStatus"] for each in (first, second, third)] == [True, False, True]
    assert third["hasOutboundFlow"] is False
    assert [each["id"] for each in tenant.get("channels", {"id[]": UNTRACKED}).json] == [UNTRACKED]
    tenant.set(dfo_channels=[Channel(id="sms_x", tracks_delivery=None)])
    (only,) = tenant.get("channels").json
    assert "isTrackingMessageDeliveryStatus" not in only
    assert tenant.get("me").status == 200


def test_all_reads_share_a_budget():
    tenant = Tenant(dfo_reads_per_hour=3, token_lifetime_seconds=9_000)
    tenant.send()
    statuses = [tenant.get(path).status for path in ("messages", "contacts", "channels", "me")]
    assert statuses == [200, 200, 200, 429]
    assert tenant.send().status == 200
    tenant.now += 3_600
    assert tenant.get("messages").status == 200
    assert tenant.simulator.dfo.limits()["reads"] == {"accepted": 4, "refused": 1}


def test_paging_is_the_same_as_a_sort_of_everything():
    rng = random.Random(2)
    tenant = Tenant(dfo_page_size=4)
    made = []
    for _ in range(150):
        tenant.now += rng.choice([0, 0, 0.001, 0.4])
        if rng.random() < 0.5:
            at = tenant.now - rng.choice([0, 0.5, 3])
            made.append(tenant.simulator.dfo.inbound(rng.choice([MAIN_CHANNEL, UNTRACKED]), NUMBER, "in", at))
        else:
            made.append(tenant.send("out", number=rng.choice(["14155550101", NUMBER])).json["message"]["id"])
    shown = {each["id"]: each for each in tenant.simulator.dfo.messages()}
    for query in ({}, {"direction": "inbound"}, {"channel[]": UNTRACKED}, {"contentContains": "out"}):
        wanted = [
            message
            for message in made
            if query.get("direction") in {None, shown[message]["direction"]}
            and query.get("channel[]") in {None, shown[message]["channel"]["id"]}
            and query.get("contentContains", "") in shown[message]["messageContent"]["payload"]["text"]
        ]
        order = sorted(wanted, key=lambda each: (shown[each]["createdAtWithMilliseconds"], made.index(each)))
        found, hits = pages(tenant, **query)
        assert [message for page in found for message in page] == order[::-1]
        assert set(hits) == {len(order)}
        found, _ = pages(tenant, sortingType="asc", **query)
        assert [message for page in found for message in page] == order


def test_a_page_looks_at_no_more_messages_than_it_shows(monkeypatch):
    tenant = Tenant()
    store = tenant.simulator._dfo.store
    contact = store.add_contact(MAIN_CHANNEL, NUMBER, "outbound", START)
    for number in range(2_000):
        at = START + number / 100
        store.add_message(contact, "outbound", f"text {number}", {}, Delivery(), created=at, now=at)
    tenant.now = START + 600
    looks, fits = [], search._fits
    monkeypatch.setattr(search, "_fits", lambda *given: looks.append(1) or fits(*given))
    found, _ = pages(tenant, direction="outbound", **{"channel[]": MAIN_CHANNEL})
    assert sum(map(len, found)) == 2_000
    assert len(looks) <= 26 * len(found)
