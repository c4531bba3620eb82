"""The collector: receipts and replies from CXone's records, whatever pages bring, and messages in doubt."""

import os
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from cxone_messaging.domain.collection import Collection
from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import EntryType
from cxone_messaging.domain.errors import Code, MessagingError
from cxone_messaging.domain.messages import Message, Status
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import SmsRequest
from cxone_messaging.domain.times import parse_time
from cxone_messaging.platform.telemetry import Metric
from cxone_messaging.use_cases.events.collect import OtherRunError
from local.simulator import Delivery
from local.simulator.faults import Fault
from tests.dfo_worlds import DfoWorld
from tests.worlds import RECIPIENT, AfterThePost, Killed

FULL_SIZE = bool(os.environ.get("PROOF"))
TAKEN = "accept_then_reset"
UNTRACKED = "sms_local_15550000001"
MINUTES = 10 if FULL_SIZE else 4


@pytest.fixture
def world():
    world = DfoWorld()
    world.opt(ConsentStatus.OPTED_IN)
    return world


def send(world, text="Hello", key="r"):
    return world.send(SmsRequest(RECIPIENT.e164, text), key).message


def status(world, key="r"):
    return world.read(world.pseudonyms.message_id(key), None).message


def lose_answers(world, action="accept_then_reset", **fault):
    world.simulator.add_fault(Fault(operation="dfo.send", action=action, **fault))


def send_in_doubt(world, text="Hello", key="r"):
    with pytest.raises(MessagingError) as caught:
        send(world, text, key)
    assert caught.value.code is Code.OUTCOME_UNKNOWN


def send_and_die(world, key, sender=None):
    """Send with a process that is killed once CXone has accepted the message, and records no more."""
    before = len(world.simulator.accepted_messages())
    injector = AfterThePost(world, AfterThePost.die, accepted=before)
    with pytest.raises(Killed):
        world.send(SmsRequest(RECIPIENT.e164, "Hello", sender=sender), key, injector=injector)


def opted_in_numbers(world):
    """Give ten recipients: one contact's bucket would be too small."""
    numbers = [PhoneNumber.parse(f"+1202555010{number}") for number in range(10)]
    for number in numbers:
        world.opt(ConsentStatus.OPTED_IN, number)
    return numbers


class TestReceipts:
    def test_a_delivered_message_is_delivered_after_one_run(self, world):
        send(world)
        world.clock.advance(5)
        world.collect()
        assert status(world).status is Status.DELIVERED

    def test_a_failed_one_has_its_reason(self, world):
        world.simulator.settings = world.simulator.settings.changed(
            {"dfo_delivery": Delivery(failed_after=1, reason="no route")}
        )
        send(world)
        world.clock.advance(5)
        world.collect()
        message = status(world)
        assert (message.status, message.error) == (Status.FAILED, "failed")

    def test_the_same_pages_again_change_nothing(self, world):
        send(world)
        world.clock.advance(5)
        world.collect()
        before = len(world.ledger.read("message#" + world.pseudonyms.message_id("r")))
        for _ in range(3):
            world.collector()(world.within(300))
        assert len(world.ledger.read("message#" + world.pseudonyms.message_id("r"))) == before

    def test_a_run_without_news_costs_two_reads(self, world):
        world.collect_for(600)
        assert world.runs[-1].reads == 2

    def test_a_receipt_that_comes_hours_later_is_found(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_delivery": Delivery(delivered_after=7200)})
        send(world)
        world.collect_for(7000)
        assert status(world).status is Status.DISPATCHED
        world.collect_for(3200)
        assert status(world).status is Status.DELIVERED

    def test_messages_of_others_on_the_channel_are_not_recorded(self, world):
        send(world)
        world.simulator.settings = world.simulator.settings.changed({"dfo_delivery": Delivery(failed_after=1)})
        other = DfoWorld(clock=world.clock)
        other.simulator = world.simulator
        other.opt(ConsentStatus.OPTED_IN)
        send(other, "from an agent", "other")
        world.clock.advance(5)
        world.collect_for(600)
        assert not [each for each in world.ledger.subjects() if each.startswith("delivery#")]
        assert Collection.parse(world.collection.text, world.clock.now()).waiting == {}

    def test_a_channel_that_does_not_track_delivery_is_not_asked_about_each_message(self, world):
        untracked = [
            each.model_copy(update={"tracks_delivery": False}) for each in world.simulator.settings.dfo_channels
        ]
        world.simulator.settings = world.simulator.settings.changed({"dfo_channels": untracked})
        send(world)
        world.collect_for(3600)
        assert "dfo.message" not in world.simulator.counts()
        assert status(world).status is Status.DISPATCHED

    def test_a_channel_that_tracks_nothing_does_not_end_the_wait_for_the_others(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_delivery": {"delivered_after": 3_000.0}})
        world.channels.add(UNTRACKED)
        send(world)
        world.collect_for(4_200)
        assert status(world).status is Status.DELIVERED

    @pytest.mark.parametrize("action", [None, TAKEN])
    def test_replies_to_every_channel_that_a_message_went_out_by_are_collected(self, world, action):
        world.simulator.dfo.inbound(UNTRACKED, "12025550142", "STOP")
        world.collect_for(60)
        assert world.runs[-1].replies == 0
        if action:
            lose_answers(world, action)
        with suppress(MessagingError):
            world.send(SmsRequest(RECIPIENT.e164, "Hello", sender=UNTRACKED), "other")
        world.collect_for(60)
        assert world.runs[-1].replies == 1

    def test_a_channel_that_does_not_exist_hides_no_stop_to_the_others(self, world):
        """No source says what a search by such a channel does."""
        with pytest.raises(MessagingError):
            world.send(SmsRequest(RECIPIENT.e164, "Hello", sender="sms_nobody"), "other")
        world._collector = world.collector()
        search = world._collector._records.search

        def refused(channels, *arguments):
            if "sms_nobody" in channels:
                raise MessagingError(Code.CXONE_UNAVAILABLE, "a read was answered 400")
            return search(channels, *arguments)

        world._collector._records.search = refused
        world.reply("STOP")
        world.collect_for(60)
        assert world.runs[-1].replies == 1

    def test_a_stop_to_the_channel_of_a_sender_that_died_at_its_first_message_is_obeyed(self, world):
        send_and_die(world, "dead", sender=UNTRACKED)
        world.simulator.dfo.inbound(UNTRACKED, "12025550142", "STOP")
        world.collect_for(60)
        assert world.runs[-1].replies == 1


class TestRuns:
    def test_two_runs_are_not_under_way_at_once(self, world):
        world.collection.held_until = world.clock.now() + 100
        with pytest.raises(OtherRunError):
            world.collect()
        world.clock.advance(101)
        world.collect()

    def test_runs_that_follow_each_other_at_once_read_both_directions(self, world):
        world.collect()
        send(world)
        world.clock.advance(2)
        world.collect()
        assert status(world).status is Status.DELIVERED

    def test_after_an_outage_everything_is_read(self, world):
        send(world)
        world.simulator.add_fault(Fault(operation="dfo.messages", action="status", status=503, times="forever"))
        for _ in range(40):
            world.clock.advance(60)
            with pytest.raises(MessagingError):
                world.collect()
        assert world.telemetry[Metric.RECEIPTS_BEHIND][-1] >= 39 * 60
        world.simulator.faults.clear()
        world.reply("STOP")
        world.collect()
        assert status(world).status is Status.DELIVERED
        assert world.consents.find(world.pseudonyms.recipient_hash(RECIPIENT)).status is ConsentStatus.OPTED_OUT

    def test_a_run_that_breaks_off_is_continued(self, world):
        keys = [f"k{number}" for number in range(200)]
        for key in keys:
            send(world, f"Hello {key}", key)
        world.clock.advance(5)
        collector = world.collector()
        for _ in range(40):
            calls = {"left": 4}
            search = collector._records.search

            def breaking(*args, calls=calls, search=search):
                calls["left"] -= 1
                if calls["left"] < 0:
                    raise MessagingError(Code.RATE_LIMITED, "no more")
                return search(*args)

            collector._records.search = breaking
            try:
                collector(world.within(300))
            except MessagingError:
                collector._records.search = search
                continue
            break
        assert {status(world, key).status for key in keys} == {Status.DELIVERED}


class TestOddAnswers:
    """What a search may do that must not lose a STOP."""

    def is_opted_out(self, world):
        consent = world.consents.find(world.pseudonyms.recipient_hash(RECIPIENT))
        return consent.status is ConsentStatus.OPTED_OUT

    def test_an_index_that_stands_still_for_an_hour_loses_nothing(self, world):
        send(world)
        world.collect_for(300)
        world.simulator.settings = world.simulator.settings.changed({"dfo_index_lag_seconds": 3600})
        world.reply("STOP")
        for number in range(29):  # others write meanwhile
            world.reply("Hello", f"1212555{number:04}")
            world.collect_for(120)
        assert not self.is_opted_out(world)
        world.simulator.settings = world.simulator.settings.changed({"dfo_index_lag_seconds": 0})
        world.collect_for(120)
        assert self.is_opted_out(world)

    @pytest.mark.parametrize("fault", [{"action": "garbage_body"}, {"action": "status", "status": 500}])
    def test_a_page_that_cannot_be_read_is_read_again(self, world, fault):
        world.reply("STOP")
        world.clock.advance(60)
        world.simulator.add_fault(Fault(operation="dfo.messages", times=3, **fault))
        with pytest.raises(MessagingError):
            world.collect()
        world.simulator.faults.clear()
        world.clock.advance(4_000)
        world.collect()
        assert self.is_opted_out(world)

    def test_a_record_with_an_odd_date_ends_no_pass(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_page_size": 2})
        world.reply("STOP")
        for number in range(6):
            world.clock.advance(1)
            world.reply("Hello", f"1212555{number:04}")
        collector = world.collector()
        search = collector._records.search

        def with_an_odd_one(*args):
            page = search(*args)
            if not page.messages or args[3]:
                return page
            odd = replace(page.messages[0], id="odd", created_at=0.0)
            return replace(page, messages=(*page.messages, odd))

        collector._records.search = with_an_odd_one
        collector(world.within(300))
        assert self.is_opted_out(world)

    def test_records_that_are_not_sorted_are_an_error(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_page_size": 2})
        for number in range(6):
            world.reply("Hello", f"1212555{number:04}")
            world.clock.advance(600)
        collector = world.collector()
        search, pages = collector._records.search, {}

        def upside_down(*args):
            page = search(*args)
            pages[args[3]] = page
            return replace(page, messages=tuple(replace(each, created_at=-each.created_at) for each in page.messages))

        collector._records.search = upside_down
        with pytest.raises(MessagingError, match="not in pages"):
            collector(world.within(300))

    @pytest.mark.parametrize("written", ["4155550100", "(415) 555-0100", "14155550100", "+14155550100"])
    def test_a_number_is_read_as_people_write_it(self, world, written):
        number = PhoneNumber.parse("+14155550100")
        world.opt(ConsentStatus.OPTED_IN, number)
        world.reply("STOP", "14155550100")
        collector = world.collector()
        search = collector._records.search

        def as_written(*args):
            page = search(*args)
            return replace(page, messages=tuple(replace(each, written=written) for each in page.messages))

        collector._records.search = as_written
        collector(world.within(300))
        consent = world.consents.find(world.pseudonyms.recipient_hash(number))
        assert consent.status is ConsentStatus.OPTED_OUT

    def test_a_stop_without_a_readable_time_counts_as_received(self, world):
        world.reply("STOP")
        collector = world.collector()
        search = collector._records.search

        def undated(*args):
            page = search(*args)
            return replace(page, messages=tuple(replace(each, created_at=0.0, written_at="") for each in page.messages))

        collector._records.search = undated
        collector(world.within(300))
        assert self.is_opted_out(world)


class TestReplies:
    def test_a_stop_is_in_force_after_one_run(self, world):
        send(world)
        world.reply("STOP")
        world.collect()
        with pytest.raises(MessagingError) as caught:
            send(world, key="next")
        assert [each.code for each in caught.value.errors] == [Code.OPTED_OUT]

    def test_start_after_stop_opts_in_again(self, world):
        world.reply("STOP")
        world.clock.advance(10)
        world.collect()
        world.clock.advance(10)
        world.reply("START")
        world.clock.advance(10)
        world.collect()
        assert send(world).status is Status.DISPATCHED

    def test_both_in_one_page_count_in_their_order(self, world):
        world.reply("STOP")
        world.clock.advance(1)
        world.reply("START")
        world.clock.advance(1)
        world.reply("STOP")
        world.clock.advance(1)
        world.collect()
        with pytest.raises(MessagingError):
            send(world)

    def test_help_opts_nobody_out(self, world):
        world.reply("HELP")
        world.collect()
        assert send(world).status is Status.DISPATCHED


class TestDoubts:
    def test_an_answer_that_was_lost_after_acceptance_is_found(self, world):
        lose_answers(world)
        send_in_doubt(world)
        world.collect_for(120)
        message = status(world)
        assert message.status is Status.DELIVERED
        entries = world.ledger.read("message#" + world.pseudonyms.message_id("r"))
        assert [entry.type for entry in entries][:3] == [EntryType.SENDING, EntryType.UNKNOWN, EntryType.DISPATCHED]
        assert entries[2].data["evidence"]["createdAt"]

    def test_what_was_never_accepted_stays_unknown_and_is_not_sent_again(self, world):
        lose_answers(world, "reset")
        send_in_doubt(world)
        world.collect_for(4000)
        assert status(world).status is Status.UNKNOWN
        assert world.simulator.texts() == {}
        entries = world.ledger.read("message#" + world.pseudonyms.message_id("r"))
        assert entries[-1].type == EntryType.LOOKED_UP
        assert entries[-1].data["found"] == 0

    def test_a_text_without_a_record_stays_unknown(self, world):
        lose_answers(world, "send_without_record")
        send_in_doubt(world)
        world.collect_for(4000)
        assert status(world).status is Status.UNKNOWN

    @pytest.mark.parametrize("lag", [90, 400, 1500])
    def test_a_search_that_lags_is_asked_again(self, world, lag):
        world.simulator.settings = world.simulator.settings.changed({"dfo_index_lag_seconds": lag})
        lose_answers(world)
        send_in_doubt(world)
        world.collect_for(4000)
        assert status(world).status is Status.DELIVERED

    def test_of_two_alike_one_of_which_was_accepted_none_is_adopted(self, world):
        world.reference_field = ""
        lose_answers(world)
        send_in_doubt(world, key="one")
        lose_answers(world, "reset")
        send_in_doubt(world, key="other")
        world.collect_for(4000)
        for key in ("one", "other"):
            assert status(world, key).status is Status.UNKNOWN
            entries = world.ledger.read("message#" + world.pseudonyms.message_id(key))
            assert entries[-1].data["candidates"]

    def test_two_alike_that_both_have_a_record_are_left_to_a_person(self, world):
        """One of the records may be an agent's, and the other message may have left without one."""
        for key in ("earlier", "later"):
            lose_answers(world)
            send_in_doubt(world, key=key)
            world.clock.advance(5)
        world.collect_for(4000)
        for key in ("earlier", "later"):
            assert status(world, key).status is Status.UNKNOWN
            assert world.entries_of(key)[-1].data["found"] == 2

    @pytest.mark.parametrize(("first", "second"), [("reset", TAKEN), (TAKEN, "reset"), (TAKEN, "send_without_record")])
    @pytest.mark.parametrize("field", ["", "reference"])
    def test_of_two_alike_with_one_record_a_person_decides_whatever_the_reference_says(
        self, world, first, second, field
    ):
        """Either may have left without a record, and both have reached the contact."""
        world.reference_field = field
        for key, action in (("one", first), ("other", second)):
            lose_answers(world, action)
            send_in_doubt(world, key=key)
        world.collect_for(4000)
        for key in ("one", "other"):
            assert status(world, key).status is Status.UNKNOWN
            assert world.entries_of(key)[-1].data["found"] == 1

    @pytest.mark.parametrize("field", ["", "reference"])
    def test_a_message_whose_sender_died_is_a_rival_and_looked_up_too(self, world, field):
        world.reference_field = field
        lose_answers(world, "send_without_record")
        send_in_doubt(world, key="lost")
        send_and_die(world, key="dead")
        assert len(world.simulator.accepted_messages()) == 2
        world.collect_for(4000)
        for key in ("lost", "dead"):
            assert Message.of(world.entries_of(key)).status is Status.UNKNOWN
        assert [world.entries_of(key)[-1].data["found"] for key in ("lost", "dead")] == [1, 1]

    def test_a_message_that_is_being_sent_is_waited_for(self, world):
        """At bulk, it takes up to half a minute until a sender has recorded its outcome."""
        world.reference_field = ""
        lose_answers(world)
        send_in_doubt(world, key="lost")
        world.clock.advance(20)
        send_and_die(world, key="slow")
        world.clock.advance(16)
        world.collect()
        assert [world.entries_of(key)[-1].type for key in ("lost", "slow")] == [EntryType.UNKNOWN, EntryType.SENDING]

    def test_a_record_without_our_reference_is_nobodys(self, world):
        """An agent wrote the same; ours never reached the contact."""
        lose_answers(world, "reset")
        send_in_doubt(world)
        agent = DfoWorld(clock=world.clock)
        agent.reference_field, agent.simulator = "", world.simulator
        agent.opt(ConsentStatus.OPTED_IN)
        send(agent, key="agent")
        world.collect_for(4000)
        assert status(world).status is Status.UNKNOWN

    def test_what_was_left_to_a_person_stays_so_when_one_of_two_records_is_out_of_sight(self, world):
        world.reference_field = ""
        lose_answers(world)
        send_in_doubt(world)
        other = DfoWorld(clock=world.clock)  # an agent writes the same to the same person
        other.reference_field = ""
        other.simulator = world.simulator
        other.opt(ConsentStatus.OPTED_IN)
        world.clock.advance(20)
        send(other, key="agent")
        world.clock.advance(60)
        world.collect()
        assert world.entries_of("r")[-1].data["found"] == 2
        collector = world.collector()
        search = collector._records.search

        def newer_alone(*args):
            page = search(*args)
            return replace(page, messages=page.messages[:1], next="")

        collector._records.search = newer_alone
        world.clock.advance(60)
        collector(world.within(300))
        assert status(world).status is Status.UNKNOWN

    def test_of_twins_the_later_ones_reference_takes_no_record_of_the_earlier(self, world):
        """A search shows the earlier one's record first; the contact holds the later one's reference by then."""
        world.simulator.settings = world.simulator.settings.changed({"dfo_index_lag_seconds": 90})
        for key in ("earlier", "later"):
            lose_answers(world)
            send_in_doubt(world, key=key)
            world.clock.advance(40)
        world.collect_for(4000)
        ids = world.simulator.texts()[("15551234567", "Hello")]
        found = [status(world, key) for key in ("earlier", "later")]
        assert [each.cxone_message_id or id_ for each, id_ in zip(found, ids, strict=True)] == ids

    def test_an_outage_of_cxones_leaves_no_doubt_behind(self, world):
        lose_answers(world)
        send_in_doubt(world)
        world.simulator.add_fault(Fault(operation="dfo.messages", action="status", status=503, times="forever"))
        for _ in range(120):
            world.clock.advance(60)
            world.deliver()
        world.simulator.faults.clear()
        world.collect_for(120)
        assert status(world).status is Status.DELIVERED

    def test_an_old_doubt_does_not_keep_a_run_from_what_is_new(self, world):
        world.simulator.settings = world.simulator.settings.changed({"dfo_page_size": 1})
        lose_answers(world, "reset")
        send_in_doubt(world, key="doubt")
        numbers = opted_in_numbers(world)
        sender = world.sender()
        for number in range(600):
            sender.send(SmsRequest(numbers[number % 10].e164, f"Hello {number}"), f"{number}", world.within(28))
            world.clock.advance(6)
            if number % 10 == 0:
                world.deliver()
                assert Collection.parse(world.collection.text, world.clock.now()).outbound.scroll == ""
                assert status(world, "0").status is Status.DELIVERED or number == 0

    def test_another_messages_record_is_not_adopted(self, world):
        send(world, key="known")
        lose_answers(world, "reset")
        send_in_doubt(world, key="lost")
        world.collect_for(4000)
        assert status(world, "lost").status is Status.UNKNOWN
        assert status(world, "known").status is Status.DELIVERED


class TestManyDoubts:
    def test_of_a_thousand_lost_answers_all_that_are_alone_are_settled_and_none_wrongly(self, world):
        """A search lags 90 seconds. 200 more were never accepted, and some texts occur twice."""
        world.reference_field = ""
        settings = {"dfo_index_lag_seconds": 90, "dfo_contact_burst": 100_000}
        world.simulator.settings = world.simulator.settings.changed(settings)
        numbers = opted_in_numbers(world)
        scale = 1 if FULL_SIZE else 10
        rng, sender, fate, texts = random.Random(1), world.sender(), {}, Counter()
        fates = ["taken"] * (1000 // scale) + ["never"] * (200 // scale)
        rng.shuffle(fates)
        for number, what in enumerate(fates):
            key, text = f"{number}", f"Hello {rng.randrange(8 * len(fates))}"
            to = numbers[int(text[-1])]
            lose_answers(world, "accept_then_reset" if what == "taken" else "reset")
            with pytest.raises(MessagingError):
                sender.send(SmsRequest(to.e164, text), key, world.within(28))
            world.governor.failures = 0  # the circuit is not what is tried here
            fate[key], texts[text] = (what, text), texts[text] + 1
            if number % 50 == 0:
                world.collect()
        world.collect_for(4200)
        assert max(texts.values()) > 1
        ids = {text: taken[0] for (_, text), taken in world.simulator.texts().items()}
        for key, (what, text) in fate.items():
            found = status(world, key)
            if texts[text] == 1:
                expected = Status.DELIVERED if what == "taken" else Status.UNKNOWN
                assert found.status is expected, (what, text)
                assert found.cxone_message_id == (ids[text] if what == "taken" else None)
            elif what == "never":
                assert found.status is Status.UNKNOWN


class TestAtFullRate:
    def test_a_hundred_a_second_take_less_than_half_of_the_reads(self, world):
        """At a 25th of the scale: 4 messages a second, on pages of one, are as many pages.

        Receipts come 5 to 60 seconds after a message, and a search shows them 15 seconds later.
        """
        world.simulator.settings = world.simulator.settings.changed(
            {"dfo_index_lag_seconds": 15, "dfo_contact_burst": 100_000, "dfo_page_size": 1}
        )
        rng, sender, late, insert = random.Random(1), world.sender(), [], world.ledger.insert

        def measured(entry):
            if entry.type == EntryType.DELIVERY:
                late.append(world.clock.now() - parse_time(entry.data["instant"]).timestamp())
            insert(entry)

        world.ledger.insert = measured
        numbers = opted_in_numbers(world)
        began = world.clock.now()
        for minute in range(MINUTES):
            for number in range(240):
                world.clock.advance(max(0.0, began + 60 * minute + number / 4 - world.clock.now()))
                request = SmsRequest(numbers[number % 10].e164, f"Hello {minute} {number}")
                message = sender.send(request, f"{minute} {number}", world.within(28)).message
                world.simulator.dfo.set_delivery(message.cxone_message_id, Delivery(delivered_after=rng.uniform(5, 60)))
            world.collect()
        reads = sum(run.reads for run in world.runs)
        world.collect_for(180)
        assert len(late) == 240 * MINUTES
        assert max(late) <= 120
        assert reads <= 120_000 / 60 * MINUTES / 2
