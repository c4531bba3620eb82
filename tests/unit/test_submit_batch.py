"""A batch is taken once: what is refused is told, what is accepted is on the queue, whatever breaks off half-way."""

import json

import pytest
from boto3.dynamodb.types import TypeSerializer

from cxone_messaging.domain.consents import ConsentStatus
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, FieldError, MessagingError, StorageError
from cxone_messaging.domain.phone_numbers import PhoneNumber
from cxone_messaging.domain.sms import SmsRequest, SmsRules, check
from cxone_messaging.platform.http_api import HttpRequest
from cxone_messaging.use_cases.bulk.submit_batch import BatchMessage
from functions.submit_bulk import handler as submit_bulk
from tests.fakes import FakeBulkQueue
from tests.webhooks import Context
from tests.worlds import RECIPIENT, Injector, Killed, Plan, World

ITEM_LIMIT = 400 * 1024
OPTED_OUT = PhoneNumber.parse("+15551230000")
NOBODY = "+15559999999"


@pytest.fixture
def world():
    world = World()
    world.opt(ConsentStatus.OPTED_IN)
    world.opt(ConsentStatus.OPTED_IN, OPTED_OUT)
    world.opt(ConsentStatus.OPTED_OUT, OPTED_OUT)
    return world


@pytest.fixture
def queue():
    return FakeBulkQueue()


def message(reference=None, to=RECIPIENT.e164, text="Hello"):
    return BatchMessage(SmsRequest(to, text), reference)


def messages(count):
    return [message(f"r{number}") for number in range(count)]


def submit(world, queue, batch, key="key", *, injector=None, seconds=28.0):
    return world.submitter(injector, queue)(batch, key, world.within(seconds))


def refused(world, queue, batch, **options):
    with pytest.raises(MessagingError) as caught:
        submit(world, queue, batch, **options)
    return caught.value.code


def codes(submitted):
    return {index: [error.code.value for error in errors] for index, errors in submitted.rejected.items()}


def references(queue):
    return [record.reference for record, _ in queue.waiting]


def trail(world, key="key"):
    subject = f"batch#{world.pseudonyms.batch_id(key)}"
    entries = world.ledger.read(subject)
    assert first_broken(subject, entries) is None
    return [entry.type for entry in entries]


def test_each_refused_message_is_told_with_its_codes_and_the_others_are_queued(world, queue):
    batch = [
        message("a"),
        message("b", to=NOBODY),
        message("c", to=OPTED_OUT.e164),
        message("d", to="call me"),
        message("e", text=""),
        message("f", to=NOBODY, text="a" * 1531),
        message("g"),
    ]
    told = submit(world, queue, batch)
    assert (told.batch_id, told.accepted, told.replayed) == (world.pseudonyms.batch_id("key"), 2, False)
    assert codes(told) == {
        1: ["not_opted_in"],
        2: ["opted_out"],
        3: ["invalid_recipient"],
        4: ["text_required"],
        5: ["too_many_segments", "not_opted_in"],
    }
    assert {error.field for errors in told.rejected.values() for error in errors} == {"to", "text"}
    assert references(queue) == ["a", "g"]
    assert {record.batch_id for record, _ in queue.waiting} == {told.batch_id}
    assert trail(world) == ["batch", "batch_queued", "batch_submitted"]
    assert world.read_batch(told.batch_id) == (2, {"queued": 2})


def test_each_refusal_is_told_in_words_which_are_those_of_a_single_send_where_its_code_says_all(world, queue):
    kinds = [
        message(to=NOBODY), message(to=OPTED_OUT.e164), message(text=""),  # what the code says is all there is
        message(to="call me"), message(text="a" * 1600), message(text="\0"), message("twice"),
    ]  # fmt: skip
    first = submit(world, queue, [message("twice"), *kinds])
    assert submit(world, queue, [message("twice"), *kinds]).rejected == first.rejected
    told = [error for index in sorted(first.rejected) for error in first.rejected[index]]
    single = [error for each in kinds[:3] for error in world.sender().preview(each.request).checked.errors]
    assert told[:3] == single
    assert len({error.message for error in told}) == len(kinds)
    assert not any("batch was submitted" in error.message for error in told)


def test_each_rule_has_its_words():
    broken = check(SmsRequest("?", "\0"), SmsRules("", "", 10)).errors
    assert {error.code for error in broken} >= {Code.CAMPAIGN_REQUIRED, Code.SENDER_REQUIRED}
    assert all(FieldError.by_code(error.code, error.field).message for error in broken)


def test_nothing_of_a_number_or_a_text_stands_in_the_ledger(world, queue):
    submit(world, queue, [message("a", text="a secret"), message("b", to=NOBODY)])
    written = json.dumps([entry.attributes() for each in world.ledger.subjects() for entry in world.ledger.read(each)])
    assert not any(each in written for each in ("a secret", NOBODY[1:], RECIPIENT.e164[1:]))


def test_the_same_request_again_queues_nothing_and_is_answered_the_same_whatever_became_of_consents(world, queue):
    batch = [message("a"), message("b", to=NOBODY), message("c", to=OPTED_OUT.e164, text="")]
    first = submit(world, queue, batch)
    world.opt(ConsentStatus.OPTED_OUT)
    world.opt(ConsentStatus.OPTED_IN, PhoneNumber.parse(NOBODY))
    again = submit(world, queue, batch)
    assert (again.batch_id, again.accepted, again.rejected) == (first.batch_id, first.accepted, first.rejected)
    assert again.replayed
    assert references(queue) == ["a"]


@pytest.mark.parametrize(
    "other",
    [[message("a")], [message("a"), message("b", text="?")], [message("b"), message("a")], [message("a"), message()]],
)
def test_the_same_key_with_another_body_is_refused(world, queue, other):
    submit(world, queue, [message("a"), message("b")])
    assert refused(world, queue, other) is Code.IDEMPOTENCY_KEY_REUSED
    assert references(queue) == ["a", "b"]


def test_another_key_is_another_batch(world, queue):
    one, two = (submit(world, queue, [message()], key=key) for key in ("one", "two"))
    assert one.batch_id != two.batch_id
    assert len(set(references(queue))) == 2


def test_a_message_without_a_reference_gets_one_that_is_its_own_and_always_the_same(world, queue):
    submit(world, queue, [message(), message(), message("mine")])
    batch_id = world.pseudonyms.batch_id("key")
    assert references(queue) == [f"{batch_id}#0", f"{batch_id}#1", "mine"]


def test_a_reference_that_is_twice_in_a_batch_is_queued_once(world, queue):
    told = submit(world, queue, [message("a"), message("b"), message("a", text="another"), message("a")])
    assert codes(told) == {2: ["idempotency_key_reused"], 3: ["idempotency_key_reused"]}
    assert {error.field for errors in told.rejected.values() for error in errors} == {"reference"}
    assert (told.accepted, references(queue)) == (2, ["a", "b"])


def test_a_batch_of_which_nothing_is_accepted_is_a_batch_all_the_same(world, queue):
    told = submit(world, queue, [message(to=NOBODY)])
    assert (told.accepted, list(told.rejected)) == (0, [0])
    assert trail(world) == ["batch", "batch_submitted"]
    assert world.read_batch(told.batch_id) == (0, {})


def test_an_unknown_batch_is_told_so(world):
    with pytest.raises(MessagingError) as caught:
        world.read_batch("bat_none")
    assert caught.value.code is Code.BATCH_NOT_FOUND


class TestBrokenOff:
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("what", ["kill", "lose_answer"])
    @pytest.mark.parametrize("at", range(1, 11))
    def test_at_any_step_the_same_request_finishes_it(self, world, queue, at, what, after):
        batch = [*messages(1200), message("refused", to=NOBODY)]
        injector = Injector()
        injector.begin(Plan(at, after=after, **{what: True}))
        with pytest.raises((Killed, StorageError)):
            submit(world, queue, batch, injector=injector)
        world.opt(ConsentStatus.OPTED_OUT)  # whatever was decided stays decided
        was_decided = bool(trail(world))
        world.clock.advance(29)
        told = submit(world, queue, batch)
        assert trail(world)[-1] == "batch_submitted"
        if not was_decided:
            assert (told.accepted, len(told.rejected)) == (0, 1201)
            return
        assert (told.accepted, codes(told)) == (1200, {1200: ["not_opted_in"]})
        assert set(references(queue)) == {f"r{number}" for number in range(1200)}
        assert len(references(queue)) <= 1200 + 500, "only the part under way may be queued twice"
        assert submit(world, queue, batch).replayed

    def test_there_are_that_many_steps(self, world, queue):
        injector = Injector()
        submit(world, queue, messages(1200), injector=injector)
        assert injector._count == 10

    def test_while_the_first_request_may_still_be_at_it_the_second_queues_nothing(self, world, queue):
        injector = Injector()
        injector.begin(Plan(4, kill=True))
        with pytest.raises(Killed):
            submit(world, queue, messages(3), injector=injector)
        world.clock.advance(27)
        assert refused(world, queue, messages(3)) is Code.IN_PROGRESS
        assert references(queue) == []

    def test_who_took_over_is_left_alone_in_turn(self, world, queue):
        for _ in range(2):
            injector = Injector()
            injector.begin(Plan(3 if trail(world) else 4, kill=True))
            with pytest.raises(Killed):
                submit(world, queue, messages(3), injector=injector)
            assert refused(world, queue, messages(3)) is Code.IN_PROGRESS
            world.clock.advance(29)
        submit(world, queue, messages(3))
        assert references(queue) == ["r0", "r1", "r2"]

    @pytest.mark.parametrize("at", range(1, 7))
    def test_of_two_at_once_one_queues_and_the_other_is_told_so(self, world, queue, at):
        outcomes = []

        def second():
            try:
                outcomes.append(submit(world, queue, messages(3)).replayed)
            except MessagingError as error:
                outcomes.append(error.code)

        injector = Injector()
        injector.begin(Plan(at, after=True, act=second))
        try:
            outcomes.append(submit(world, queue, messages(3), injector=injector).replayed)
        except MessagingError as error:
            outcomes.append(error.code)
        assert outcomes.count(False) == 1, outcomes
        assert set(outcomes) <= {False, True, Code.IN_PROGRESS}
        assert references(queue) == ["r0", "r1", "r2"]

    def test_who_was_overtaken_leaves_the_batch_to_who_came_later(self, world, queue):
        def later():
            world.clock.advance(60)
            submit(world, queue, messages(3))

        injector = Injector()
        injector.begin(Plan(4, after=True, act=later))
        with pytest.raises(MessagingError) as caught:
            submit(world, queue, messages(3), injector=injector)
        assert caught.value.code is Code.IN_PROGRESS
        assert trail(world) == ["batch", "batch_queued", "batch_queued", "batch_submitted"]

    def test_a_queue_that_takes_a_part_is_gone_on_with_and_no_accepted_message_is_missing(self, world):
        queue = FakeBulkQueue(room=700)
        batch = messages(1100)
        with pytest.raises(StorageError):
            submit(world, queue, batch)
        assert trail(world) == ["batch", "batch_queued"]
        queue.room = None
        world.clock.advance(29)
        told = submit(world, queue, batch)
        assert told.accepted == 1100
        assert set(references(queue)) == {f"r{number}" for number in range(1100)}
        assert len(references(queue)) == 1100 + 200

    def test_what_there_is_no_time_to_queue_is_queued_by_the_next_request(self, world, queue):
        put = queue.put

        def slow(records, delay=0):
            world.clock.advance(9)
            return put(records, delay)

        queue.put = slow
        with pytest.raises(MessagingError) as caught:
            submit(world, queue, messages(2000))
        assert (caught.value.code, caught.value.retry_after) == (Code.IN_PROGRESS, 1)
        assert len(references(queue)) == 1500
        queue.put = put
        world.clock.advance(1)
        submit(world, queue, messages(2000))
        assert references(queue) == [f"r{number}" for number in range(2000)]


@pytest.mark.parametrize("character", "\0\ufffe\uffff")
def test_a_character_that_sqs_refuses_is_the_callers_to_mend(world, queue, character):
    """One such record has SQS refuse its whole batch, at each try."""
    batch = [message(text=f"a{character}b"), message(f"r{character}"), message("fine")]
    submitted = submit(world, queue, batch)
    assert codes(submitted) == {0: ["invalid_characters"], 1: ["invalid_characters"]}
    assert submitted.rejected[1][0].field == "reference"
    assert references(queue) == ["fine"]


def test_the_answer_to_ten_thousand_messages_that_break_all_rules_fits_into_lambdas(world, queue, monkeypatch):
    batch = {"messages": [{"text": "", "reference": "one"}] * 10_000, "campaignId": " ", "from": " "}
    monkeypatch.setattr(submit_bulk, "use_case", lambda: world.submitter(queue=queue))
    request = {"headers": {"Idempotency-Key": "key"}, "body": json.dumps(batch), "httpMethod": "POST"}
    answer = submit_bulk.handler({**request, "resource": "/messages/bulk"}, Context())
    assert answer["statusCode"] == 202
    assert len(json.dumps(answer)) < 6_000_000
    last = json.loads(answer["body"])["rejected"][-1]
    assert [each["code"] for each in last["errors"]] == [
        "invalid_recipient", "campaign_required", "sender_required", "text_required", "idempotency_key_reused",
    ]  # fmt: skip


def test_ten_thousand_messages_with_as_many_refusals_fit_into_one_item(world, queue):
    kinds = [
        message(to=NOBODY), message(to="?"), message(text=""), message(to=NOBODY, text=""), message("twice"),
        message(text="\x1b"), message(text="a" * 1600), message(to="?", text="\x1b"), message(to=OPTED_OUT.e164),
    ]  # fmt: skip
    batch = [message("twice"), *(kinds[number % len(kinds)] for number in range(9_999))]
    told = submit(world, queue, batch)
    assert (told.accepted, len(told.rejected)) == (1, 9_999)
    (entry, *_) = world.ledger.read(f"batch#{told.batch_id}")
    serialize = TypeSerializer().serialize
    item = {name: serialize(value) for name, value in entry.attributes().items()}
    assert len(json.dumps(item, ensure_ascii=False).encode()) < ITEM_LIMIT
    assert codes(submit(world, queue, batch)) == codes(told)


class TestRequests:
    """What the function makes of a request's body."""

    @pytest.fixture
    def ask(self, world, queue, monkeypatch):
        monkeypatch.setattr(submit_bulk, "use_case", lambda: world.submitter(queue=queue))

        def ask(body, key="key"):
            headers = {"idempotency-key": key} if key else {}
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            return submit_bulk.submit(HttpRequest("POST /messages/bulk", {}, {}, headers, body, world.within(28)))

        return ask

    def test_what_a_message_leaves_out_is_taken_from_the_batch(self, ask, queue):
        asked = [{}, {"text": "Own"}, {"text": ""}]
        common = {"text": "Common", "campaignId": "summer", "from": "24680"}
        answer = ask({"messages": [{"to": RECIPIENT.e164, **each} for each in asked], **common})
        assert [record.request for record, _ in queue.waiting] == [
            SmsRequest(RECIPIENT.e164, text, "summer", "24680") for text in ("Common", "Own")
        ]
        assert answer.status == 202
        assert set(answer.body) == {"batchId", "accepted", "rejected", "warnings"}
        (rejected,) = answer.body["rejected"]
        assert (answer.body["accepted"], rejected["index"]) == (2, 2)
        assert [error["code"] for error in rejected["errors"]] == ["text_required"]

    def test_a_repeated_request_says_so(self, ask):
        body = {"messages": [{"to": RECIPIENT.e164, "text": "Hello"}]}
        first, again = ask(body), ask(body)
        assert (first.headers, again.headers) == ({}, {"Idempotency-Replayed": "true"})
        assert first.body == again.body

    def test_one_text_to_one_number_is_warned_of_whatever_the_writing(self, ask, queue):
        others = [{"to": "+15551234567", "reference": "a"}, {"to": "15551234567", "reference": "b"}]
        texts = [{"text": "Grüße  an Sie"}, {"text": "Gru\u0308ße an Sie"}, {"text": "Another"}]
        answer = ask({"messages": [{"to": "+15551234567", **each} for each in [*others, {}, *texts]], "text": "Hello"})
        assert (answer.body["accepted"], answer.body["rejected"]) == (6, [])
        warned = {each["index"]: (each["code"], each["field"]) for each in answer.body["warnings"]}
        assert warned == dict.fromkeys((1, 2, 4), ("duplicate_message", "to"))
        assert all(each["message"] for each in answer.body["warnings"])
        assert len(queue.waiting) == 6

    def test_one_text_to_one_number_is_refused_where_that_is_wanted(self, ask, queue, world):
        batch = [{"to": NOBODY}, {"to": NOBODY}, *[{"to": RECIPIENT.e164[not plus :]} for plus in (True, False, True)]]
        body = {"messages": batch, "text": "Hello", "duplicates": "refuse"}
        answer = ask(body)
        told = {each["index"]: [error["code"] for error in each["errors"]] for each in answer.body["rejected"]}
        assert told == {0: ["not_opted_in"], 1: ["not_opted_in"], 3: ["duplicate_message"], 4: ["duplicate_message"]}
        assert (answer.body["accepted"], answer.body["warnings"], len(queue.waiting)) == (1, [], 1)
        again = ask(body)
        assert (again.body, again.headers) == (answer.body, {"Idempotency-Replayed": "true"})
        with pytest.raises(MessagingError) as caught:
            ask({**body, "duplicates": "warn"})
        assert caught.value.code is Code.IDEMPOTENCY_KEY_REUSED

    def test_a_rejected_message_is_not_repeated_by_a_good_one(self, ask):
        twice = [{"to": RECIPIENT.e164, "reference": "a"}, {"to": RECIPIENT.e164, "reference": "a"}]
        answer = ask({"messages": twice, "text": "Hello"})
        assert [each["errors"][0]["code"] for each in answer.body["rejected"]] == ["idempotency_key_reused"]
        assert answer.body["warnings"] == []

    def test_a_batch_needs_a_key(self, ask, queue):
        with pytest.raises(MessagingError) as caught:
            ask({"messages": [{"to": RECIPIENT.e164, "text": "Hello"}]}, key=None)
        assert (caught.value.code, queue.waiting) == (Code.IDEMPOTENCY_KEY_REQUIRED, [])

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            {},
            {"messages": []},
            {"messages": [{"to": "+15551234567", "text": "a"}] * 10_001},
            {"messages": [{"to": 1, "text": "a"}]},
            {"messages": [{"to": "+15551234567", "text": "a", "reference": ""}]},
            {"messages": [{"to": "+15551234567", "text": "a", "reference": "r" * 256}]},
            {"messages": [{"to": "+15551234567", "text": "a"}], "unknown": 1},
            {"messages": [{"to": "+15551234567", "text": "a"}], "duplicates": "ignore"},
        ],
        ids=lambda body: str(body)[:60],
    )
    def test_a_malformed_request_queues_nothing(self, ask, queue, world, body):
        with pytest.raises(MessagingError) as caught:
            ask(body)
        assert (caught.value.code, queue.waiting, trail(world)) == (Code.MALFORMED_REQUEST, [], [])

    def test_ten_thousand_messages_are_taken(self, ask, queue):
        answer = ask({"messages": [{"to": RECIPIENT.e164}] * 10_000, "text": "Hello"})
        assert (answer.body["accepted"], answer.body["rejected"]) == (10_000, [])
        assert len(set(references(queue))) == 10_000
