"""What a tenant's records, permissions and clocks do to the collector, and what no STOP may wait for."""

import itertools
import json
from contextlib import suppress
from dataclasses import replace

import pytest

from cxone_messaging.adapters.cxone.http import Answer
from cxone_messaging.domain.batches import BulkRecord
from cxone_messaging.domain.collection import Collection, Span, Waiting, wait_for
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.found_messages import Direction, FoundMessage, Page
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.sms import SmsRequest
from local.simulator.faults import Fault
from tests.dfo_worlds import DfoWorld
from tests.unit.test_collect import lose_answers, opted_in_numbers, send, send_and_die, send_in_doubt, status
from tests.worlds import RECIPIENT

ANY = FoundMessage("cx", Direction.OUTBOUND, 0.0, "", "", "", "", "")


@pytest.fixture
def world():
    world = DfoWorld()
    world.opt(ConsentStatus.OPTED_IN)
    return world


def is_out(world):
    consent = world.consents.find(world.pseudonyms.recipient_hash(RECIPIENT))
    return consent is not None and consent.status is ConsentStatus.OPTED_OUT


def agent_of(world):
    """Give somebody who writes on the same channel, and whose contacts get no reference."""
    agent = DfoWorld(clock=world.clock)
    agent.reference_field, agent.simulator = "", world.simulator
    agent.opt(ConsentStatus.OPTED_IN)
    return agent


def changed(world, change):
    """Have the collector read every record of a search as `change` leaves it."""
    world._collector = world.collector()
    get = world._collector._records._get

    def answer(path, deadline, **more):
        document = json.loads(get(path, deadline, **more))
        if isinstance(document, dict) and "data" in document:
            document["data"] = [change(each) or each for each in document["data"]]
        return json.dumps(document).encode()

    world._collector._records._get = answer


def slow(world, seconds):
    """Have each page of a search take so long; something may happen at each."""
    world._collector = world.collector()
    search = world._collector._records.search
    at_each = []

    def searched(*arguments):
        world.clock.advance(seconds)
        for act in at_each:
            act()
        return search(*arguments)

    world._collector._records.search = searched
    return at_each


class TestShapes:
    """Of an inbound record; what its fields look like is known from NICE's code, and not from a tenant."""

    @pytest.mark.parametrize(
        "written", [15551234567, 15551234567.0, "15550000000_15551234567", "sms_local_15550000000_15551234567"]
    )
    def test_numbers(self, world, written):
        changed(world, lambda each: each["authorEndUserIdentity"].update(idOnExternalPlatform=written))
        world.reply("STOP")
        world.collect()
        assert is_out(world)

    @pytest.mark.parametrize("id_", [None, "", "x" * 129, "é", 1.5])
    def test_an_id_that_cannot_be_read_loses_no_stop(self, world, id_):
        changed(world, lambda each: each.update(id=id_))
        world.reply("Hello")
        world.reply("STOP")
        world.collect()
        assert is_out(world)
        assert world.runs[-1].replies == 2

    def test_a_stop_without_an_id_counts_once_whatever_cxone_changes_of_it_later(self, world):
        reads = itertools.count()
        changed(world, lambda each: each.update(id=None, isRead=next(reads), status="seen"))
        world.reply("STOP")
        world.collect()
        world.clock.advance(600)
        world.opt(ConsentStatus.OPTED_IN)
        world.collect_for(180)
        assert not is_out(world)

    @pytest.mark.parametrize(
        "content",
        [
            {"type": "TEXT", "payload": "STOP"},
            {"type": "POSTBACK", "payload": {}, "postback": "STOP"},
            {"type": "POSTBACK", "payload": {"postback": "STOP"}},
            {"type": "TEXT", "payload": {"text": ""}, "fallbackText": "STOP"},
        ],
    )
    def test_contents(self, world, content):
        changed(world, lambda each: each.update(messageContent=content))
        world.reply("STOP")
        world.collect()
        assert is_out(world)

    def test_records_that_are_wrapped_as_an_answer_to_a_send_is(self, world):
        changed(world, lambda each: {"message": each})
        world.reply("STOP")
        world.collect()
        assert is_out(world)


class TestStopWaitsForNothing:
    def test_not_for_a_pass_whose_place_cxone_has_forgotten(self, world):
        now = world.clock.now()
        forgotten = Span(now - 600, now - 600, "forgotten", now - 60, now - 720)
        world.collection.text = Collection(forgotten, forgotten, {}, now - 60, now - 60).text()
        world._collector = world.collector()
        search = world._collector._records.search

        def searched(channels, direction, since, scroll, deadline):
            if scroll == "forgotten":
                raise MessagingError(Code.CXONE_UNAVAILABLE, "a read was answered 404")
            return search(channels, direction, since, scroll, deadline)

        world._collector._records.search = searched
        world.reply("STOP")
        world.collect()
        assert is_out(world)

    def test_where_the_tenant_moves_the_collector_follows_at_once(self, world):
        world.collect()
        world.clock.advance(300)
        world.simulator.settings = world.simulator.settings.changed({"dfo_area": "eu1"})
        world.reply("STOP")
        world.clock.advance(60)
        world.collect()
        assert is_out(world)

    def test_not_for_the_pages_of_a_run_that_takes_minutes(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_page_size": 1})
        numbers = opted_in_numbers(world)
        sender = world.sender()
        for number in range(150):
            sender.send(SmsRequest(numbers[number % 10].e164, f"Hello {number}"), f"{number}", world.within(28))
        sent_at = []

        def reply():
            if not sent_at and len(world.simulator.log("dfo.messages")) > 20:
                sent_at.append(world.clock.now())
                world.reply("STOP")
            elif sent_at and is_out(world):
                obeyed_at.append(world.clock.now())

        obeyed_at: list[float] = []
        slow(world, 1.0).append(reply)
        world.collect()
        assert obeyed_at
        assert obeyed_at[0] - sent_at[0] < 30

    def test_not_for_what_came_during_an_outage(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_page_size": 1})
        world.collect()
        for number in range(800):
            world.clock.advance(5)
            world.reply("Hello", f"1212555{number:04}")
        world.clock.advance(60)
        world.collect()
        assert Collection.parse(world.collection.text, world.clock.now()).inbound.scroll
        world.clock.advance(30)
        world.reply("STOP")
        world.clock.advance(30)
        world.collect()
        assert is_out(world)
        assert Collection.parse(world.collection.text, world.clock.now()).inbound.scroll

    def test_one_that_a_search_shows_much_later_than_others_is_found(self, world):
        world._collector = world.collector()
        search, shown_at = world._collector._records.search, world.clock.now() + 45 * 60

        def searched(*arguments):
            page = search(*arguments)
            if world.clock.now() < shown_at:
                page = replace(page, messages=tuple(each for each in page.messages if each.text != "STOP"))
            return page

        world._collector._records.search = searched
        world.reply("STOP")
        for minute in range(50):
            for number in range(5):
                world.clock.advance(12)
                world.reply("Hello", f"1212555{minute * 5 + number:04}")
            world.collect()
        assert is_out(world)


class TestReads:
    """Less than half of CXone's 120,000 an hour, whatever a page costs and however runs end."""

    def backlog(self, world, seconds, fails_after=None):
        """Have each page take so long, none be the last, and each run fail after so many seconds."""
        now = world.clock.now()
        world.collection.text = Collection(Span(now - 86_400), Span(now, now), {}, now - 60, now - 60).text()
        world._collector = world.collector()
        records, began = world._collector._records, []

        def search(channels, direction, since, scroll, deadline):
            world.clock.advance(seconds)
            records.reads += 1
            if fails_after and world.clock.now() - began[-1] > fails_after:
                raise MessagingError(Code.RATE_LIMITED, "CXone takes no more reads now")
            at = float(scroll or world.clock.now())
            return Page((replace(ANY, created_at=at),), f"{at - 0.001:.3f}" if direction is Direction.OUTBOUND else "")

        records.search = search
        return began

    @pytest.mark.parametrize(("page", "fails_after"), [(0.02, None), (0.032, None), (0.3, None), (0.03, 50)])
    def test_in_an_hour(self, world, page, fails_after):
        began, hour = self.backlog(world, page, fails_after), world.clock.now() + 3_600
        while world.clock.now() < hour:
            began.append(world.clock.now())
            with suppress(MessagingError):
                world.collect()
            world.clock.advance(60 - (world.clock.now() - began[0]) % 60)
        assert 9_000 < world._collector._records.reads < 60_000

    def test_by_runs_that_follow_each_other_at_once_and_fail(self, world):
        began = self.backlog(world, 0.001, fails_after=0.8)
        for _ in range(10):
            began.append(world.clock.now())
            with suppress(MessagingError):
                world.collect()
            world.clock.advance(1)
        assert 1_000 < world._collector._records.reads < 1_500


class TestOneRefusedRead:
    """What one record, channel or contact is refused, holds up no other."""

    @pytest.fixture
    def late(self, world):
        """Give the keys of messages that no page shows any more, and that are asked about one by one."""
        numbers, keys = opted_in_numbers(world), [f"{number}" for number in range(10)]
        for key in keys:
            world.send(SmsRequest(numbers[int(key)].e164, f"Hello {key}"), key)
        now = world.clock.now()
        waiting = {status(world, key).cxone_message_id: Waiting(now, now + 120 + int(key)) for key in keys}
        world.collection.text = Collection(Span(now, now), Span(now, now), waiting, now).text()
        world._collector = world.collector()
        world._collector._records.search = lambda *_: Page((), "")
        world.clock.advance(240)
        return keys

    @pytest.mark.parametrize("answer", [403, 410, 500])
    def test_a_message(self, world, late, answer):
        refused = status(world, late[0]).cxone_message_id
        session = world._collector._records._session
        exchange = session.exchange

        def exchanged(url, *arguments, **more):
            if url.endswith(f"/messages/{refused}"):
                return Answer(answer, {}, b"{}")
            return exchange(url, *arguments, **more)

        session.exchange = exchanged
        world.collect()
        assert [status(world, key).status for key in late] == [Status.DISPATCHED] + [Status.DELIVERED] * 9
        assert list(Collection.parse(world.collection.text, world.clock.now()).waiting) == [refused]

    def test_where_all_are_refused_a_run_asks_about_few(self, world, late):
        world.simulator.add_fault(Fault(operation="dfo.message", action="status", status=403, times="forever"))
        world.collect()
        assert len(world.simulator.log("dfo.message")) == 3
        world.simulator.faults.clear()
        world.collect_for(120)
        assert [status(world, key).status for key in late[3:]] == [Status.DELIVERED] * 7

    @pytest.mark.parametrize("answer", [403, 500])
    def test_the_channels(self, world, late, answer):
        world.simulator.add_fault(Fault(operation="dfo.channels", action="status", status=answer, times="forever"))
        world.collect()
        assert [status(world, key).status for key in late] == [Status.DELIVERED] * 10

    @pytest.mark.parametrize("answer", [403, 500])
    def test_the_contacts(self, world, answer):
        world.simulator.add_fault(Fault(operation="dfo.contacts", action="status", status=answer, times="forever"))
        lose_answers(world)
        send_in_doubt(world)
        world.collect_for(4_000)
        assert status(world).status is Status.UNKNOWN
        assert world.entries_of("r")[-1].data["found"] == 1

    def test_more_than_can_be_waited_for_are_counted(self, world):
        found = FoundMessage("m" * 36, Direction.OUTBOUND, world.clock.now(), "", "", "", "", "")
        waiting: dict[str, Waiting] = {}
        while wait_for(waiting, replace(found, id=f"{len(waiting):036}"), world.clock.now()):
            pass
        assert len(waiting) > 4_000
        state = Collection(Span(1.0, scroll="s" * 8_192), Span(1.0, scroll="s" * 8_192), waiting)
        assert len(state.text().encode()) < 400_000

    def test_a_place_in_a_search_that_is_too_long_to_store_begins_its_pass_anew(self, world):
        state = Collection(Span(1.0, scroll="s" * 8_193, began=5.0), Span(1.0))
        assert Collection.parse(state.text(), 10.0).outbound.scroll == ""


class TestDoubts:
    def test_an_agents_text_is_not_taken_for_ours_because_we_wrote_to_the_contact_before(self, world):
        send(world, "Good morning", key="earlier")
        world.clock.advance(3_600)
        lose_answers(world, "reset")
        send_in_doubt(world, key="lost")
        send(agent_of(world), key="agent")
        world.collect_for(4_000)
        assert status(world, "lost").status is Status.UNKNOWN

    def test_an_agents_text_is_not_taken_for_ours_because_a_later_message_of_ours_is_found(self, world):
        lose_answers(world, "reset")
        send_in_doubt(world, key="lost")
        world.clock.advance(5)
        send(agent_of(world), key="agent")
        world.clock.advance(5)
        lose_answers(world)
        send_in_doubt(world, "Bye", key="later")
        world.collect_for(4_000)
        assert [status(world, key).status for key in ("lost", "later")] == [Status.UNKNOWN, Status.DELIVERED]

    def test_an_agents_text_is_no_twins(self, world):
        lose_answers(world, "reset")
        send_in_doubt(world, key="never")
        lose_answers(world)
        send_in_doubt(world, key="taken")
        world.clock.advance(5)
        send(agent_of(world), key="agent")
        world.collect_for(4_000)
        assert [status(world, key).status for key in ("never", "taken")] == [Status.UNKNOWN] * 2

    @pytest.mark.parametrize("field", ["", "reference"])
    @pytest.mark.parametrize(("skew", "gap"), [(100, 60), (100, 120), (-90, 60), (-120, 120), (170, 200)])
    def test_where_cxones_clock_is_minutes_off_no_twin_gets_anothers_record(self, world, field, skew, gap):
        world.reference_field = field
        world.simulator.settings = world.simulator.settings.changed({"dfo_clock_ahead_seconds": skew})
        send_and_die(world, key="dead")
        world.clock.advance(gap)
        lose_answers(world, "send_without_record")
        send_in_doubt(world, key="lost")
        world.collect_for(4_000)
        assert Message.of(world.entries_of("lost")).status is Status.UNKNOWN

    def test_a_message_of_another_api_is_not_looked_up(self, world):
        lose_answers(world, "reset")
        with pytest.raises(MessagingError):
            world.send(SmsRequest(RECIPIENT.e164, "Hello", sender="15550100000"), "r")
        world.channels.discard("15550100000")
        (sending, *_) = world.entries_of("r")
        assert sending.data["from"] == "15550100000"
        world.collect_for(4_000)
        assert EntryType.LOOKED_UP not in [each.type for each in world.entries_of("r")]


def test_a_wrong_channel_in_a_batch_holds_back_no_other_message(world):
    numbers, worker = opted_in_numbers(world), world.batch_sender()
    warm = BulkRecord("warm", SmsRequest(numbers[0].e164, "Warm"))
    world.offer([warm], sender=worker)
    world.clock.advance(300)
    wrong = [BulkRecord(f"bad {n}", SmsRequest(each.e164, "Hi", sender="sms_typo")) for n, each in enumerate(numbers)]
    world.offer(wrong, sender=worker)
    assert world.governor.failures == 0
    assert world.send(SmsRequest(numbers[0].e164, "Hello"), "right").message.status is Status.DISPATCHED


@pytest.mark.parametrize("channel", [".", ".."])
def test_a_channel_that_would_be_another_path_is_refused(world, channel):
    send(world, key="warm")
    before = world.simulator.counts()
    with pytest.raises(MessagingError) as raised:
        world.send(SmsRequest(RECIPIENT.e164, "Hi", sender=channel), "r")
    assert (raised.value.code, world.simulator.counts()) == (Code.CXONE_REJECTED, before)
