"""The account's pace as an operator sees and sets it: the use case, and its function."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain import subjects
from cxone_messaging.domain.entries import first_broken
from cxone_messaging.domain.errors import Code, MessagingError, StorageError
from cxone_messaging.domain.pace import MICRO, AccountRate, Pace, PaceLaw, as_number, ceiling_from
from cxone_messaging.domain.schedule import Schedule
from cxone_messaging.domain.sender_rates import SenderRates
from functions.manage_pace import handler as function
from functions.manage_pace.handler import ManagePaceSettings, manage_pace
from tests.fakes import EPOCH, FakeClock, FakeLedger, FakePaceStore
from tests.functions import call
from tests.webhooks import Context

NOW = round(EPOCH * MICRO)
JANE = "arn:aws:sts::123456789012:assumed-role/operators/jane"
RATE, SENDERS = AccountRate(100, 0.96), SenderRates.parse("+1*=5, 12345=2.5")
SUBJECT = "pace#account"


class FakeQueue:
    """A queue of a given length."""

    def __init__(self, length: int | None = 0) -> None:
        self.length = length

    def read(self) -> int | None:
        return self.length


class World:
    """The use case with all that it touches."""

    def __init__(self, rate: AccountRate = RATE) -> None:
        self.ledger, self.item, self.queue = FakeLedger(), FakePaceStore(), FakeQueue()
        self.pace = manage_pace(self.ledger, self.item, self.queue, rate, SENDERS, clock=FakeClock())

    @property
    def recorded(self) -> list[Any]:
        entries = self.ledger.read(SUBJECT)
        assert first_broken(SUBJECT, entries) is None
        return [dict(entry.data) for entry in entries]

    def holds(self, *, pace: int = 0, ceiling: int | None = None, **state: int) -> None:
        self.item.state = Schedule(pace=Pace(pace, pace, NOW, ceiling=ceiling), **state)


@pytest.fixture
def world() -> World:
    return World()


class TestReading:
    def test_a_new_account_has_the_deployed_ceiling_and_the_pace_to_begin_with(self, world: World) -> None:
        seen = world.pace.read()

        assert (seen.ceiling, seen.deployed_ceiling, seen.pace, seen.per_minute) == (100, 100, 96, 6000)
        assert (seen.held_until, seen.holds, seen.circuit, seen.queued, seen.queue_seconds) == (
            None,
            0,
            "closed",
            0,
            0,
        )
        assert seen.senders == {"+1*": 5, "12345": 2.5}

    def test_a_pace_that_was_lowered_is_shown(self, world: World) -> None:
        world.holds(pace=40_500_000)
        assert world.pace.read().pace == 40.5

    def test_the_pace_is_never_above_an_operators_ceiling_nor_the_minutes_budget(self, world: World) -> None:
        world.holds(pace=40_000_000, ceiling=20_000_000)
        seen = world.pace.read()
        assert (seen.ceiling, seen.pace, seen.per_minute) == (20, 19.6, 1200)

    def test_an_operators_ceiling_above_a_lower_deployed_one_is_not_in_force(self) -> None:
        world = World(AccountRate(10, 0.96))
        world.holds(ceiling=20_000_000)
        assert world.pace.read().ceiling == 10

    def test_a_hold_is_shown_while_it_lasts(self, world: World) -> None:
        world.holds(held_until=NOW + MICRO, holds=2)
        assert (world.pace.read().held_until, world.pace.read().holds) == ("2026-11-18T11:06:41.000Z", 2)
        world.holds(held_until=NOW)
        assert world.pace.read().held_until is None

    @pytest.mark.parametrize(
        ("state", "circuit"),
        [
            ({"failures": 4}, "closed"),
            ({"failures": 5, "open_until": NOW + MICRO}, "open"),
            ({"failures": 5, "open_until": NOW - MICRO}, "open"),
            ({"failures": 5, "open_until": NOW - MICRO, "probe_until": NOW + MICRO}, "probing"),
            ({"failures": 6, "probe_until": NOW - MICRO}, "open"),
        ],
    )
    def test_the_circuit_is_closed_open_or_probing(self, world: World, state: dict[str, int], circuit: str) -> None:
        world.holds(**state)
        assert world.pace.read().circuit == circuit

    @pytest.mark.parametrize(
        ("queued", "state", "seconds"),
        [
            (960, {}, 10),
            (961, {}, 11),
            (1200, {"pace": 30_000_000}, 40),
            (0, {"ceiling": 0}, 0),
            (1, {"ceiling": 0}, None),
            (None, {}, None),
        ],
    )
    def test_it_says_what_the_queue_takes_at_this_pace(
        self, world: World, queued: int | None, state: dict[str, int], seconds: int | None
    ) -> None:
        world.queue.length = queued
        world.holds(**state)
        assert (world.pace.read().queued, world.pace.read().queue_seconds) == (queued, seconds)

    def test_the_queue_takes_longer_where_the_minutes_budget_is_nearer(self) -> None:
        world = World(AccountRate(100, 0.96, 3000))
        world.queue.length = 3000
        assert world.pace.read().queue_seconds == 62


class TestSetting:
    def test_a_ceiling_is_in_force_at_once_and_recorded_with_its_author(self, world: World) -> None:
        assert world.pace.set_ceiling(20, JANE).ceiling == 20
        assert world.pace.set_ceiling(12.5, None).pace == 12
        assert world.recorded == [
            {"ceiling": "20", "previousCeiling": "100", "by": JANE},
            {"ceiling": "12.5", "previousCeiling": "20", "by": None},
        ]
        assert world.item.state.pace.ceiling == 12_500_000

    def test_a_lower_ceiling_does_not_raise_a_pace_that_was_lowered(self, world: World) -> None:
        world.holds(pace=30_000_000)
        assert world.pace.set_ceiling(80, JANE).pace == pytest.approx(30, abs=0.1)

    def test_nought_stops_all_sending(self, world: World) -> None:
        seen = world.pace.set_ceiling(0, JANE)
        assert (seen.ceiling, seen.pace, seen.per_minute) == (0, 0, 0)

    def test_the_deployed_rate_takes_an_operators_ceiling_back(self, world: World) -> None:
        world.pace.set_ceiling(20, JANE)
        world.pace.set_ceiling(100, JANE)
        assert world.item.state.pace.ceiling is None
        assert world.recorded[-1] == {"ceiling": "100", "previousCeiling": "20", "by": JANE}

    def test_a_deployed_rate_with_more_decimals_can_be_restored(self) -> None:
        world = World(AccountRate(100 / 3, 0.96))
        world.pace.set_ceiling(20, JANE)
        world.pace.set_ceiling(100 / 3, JANE)
        assert world.item.state.pace.ceiling is None

    def test_a_repeated_request_records_nothing_again(self, world: World) -> None:
        for _ in range(2):
            assert world.pace.set_ceiling(20, JANE).ceiling == 20
        assert len(world.recorded) == 1

    @pytest.mark.parametrize("number", [-1, -0.001, 100.001, 1e300, float("inf"), float("nan"), 0.0001, 0.00000001])
    def test_what_is_no_ceiling_changes_nothing(self, world: World, number: float) -> None:
        with pytest.raises(MessagingError) as raised:
            world.pace.set_ceiling(number, JANE)
        assert raised.value.code is Code.VALIDATION_FAILED
        assert [(each.code, each.field) for each in raised.value.errors] == [(Code.INVALID_CEILING, "ceiling")]
        assert world.recorded == []
        assert world.item.state == Schedule()

    def test_without_an_entry_no_ceiling_is_set(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: object) -> None:
            raise StorageError("down")

        monkeypatch.setattr(world.ledger, "insert", fail)
        with pytest.raises(StorageError):
            world.pace.set_ceiling(20, JANE)
        assert world.item.state == Schedule()

    def test_where_the_item_fails_the_entry_says_what_was_tried_and_a_repeat_puts_it_in_force(
        self, world: World
    ) -> None:
        world.item.fails = 1
        with pytest.raises(StorageError):
            world.pace.set_ceiling(20, JANE)
        assert [each["ceiling"] for each in world.recorded] == ["20"]
        assert world.pace.read().ceiling == 100

        assert world.pace.set_ceiling(20, JANE).ceiling == 20
        assert [each["ceiling"] for each in world.recorded] == ["20", "20"]

    def test_a_ceiling_in_force_is_recorded_again_where_the_last_entry_says_another(self, world: World) -> None:
        world.pace.set_ceiling(20, JANE)
        world.item.fails = 1
        with pytest.raises(StorageError):
            world.pace.set_ceiling(0, JANE)
        world.pace.set_ceiling(20, JANE)
        assert [each["ceiling"] for each in world.recorded] == ["20", "0", "20"]
        assert world.item.state.pace.ceiling_entry == 3

    def test_a_lost_answer_is_no_lost_race(self, world: World) -> None:
        """botocore repeats a write whose answer was lost, and the repetition finds its own entry there."""
        world.item.loses_answer = True
        assert world.pace.set_ceiling(20, JANE).ceiling == 20
        assert len(world.recorded) == 1

    def test_of_two_at_once_the_last_entry_is_in_force(self, world: World) -> None:
        """The other request comes between this one's entry and its write."""
        world.item.before_write = lambda: world.pace.set_ceiling(50, "other")
        assert world.pace.set_ceiling(20, JANE).ceiling == 20
        assert [each["ceiling"] for each in world.recorded][-1] == "20"
        assert world.recorded[-1]["previousCeiling"] == "50"
        assert world.item.state.pace.ceiling_entry == len(world.recorded)

    def test_another_request_between_the_reading_and_the_entry_shows_in_the_entry(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = world.item.read

        def read_late() -> Schedule:
            monkeypatch.setattr(world.item, "read", read)
            state = read()
            world.pace.set_ceiling(50, "other")
            return state

        monkeypatch.setattr(world.item, "read", read_late)
        assert world.pace.set_ceiling(20, JANE).ceiling == 20
        assert world.recorded[-1] == {"ceiling": "20", "previousCeiling": "50", "by": JANE}
        assert world.item.state.pace.ceiling_entry == len(world.recorded)

    def test_endless_races_end(self, world: World) -> None:
        world.item.always_races = True
        with pytest.raises(StorageError):
            world.pace.set_ceiling(20, JANE)

    @given(st.integers(0, 100_000))
    def test_thousandths_are_kept_exactly(self, thousandths: int) -> None:
        micro = ceiling_from(thousandths / 1000, RATE)
        assert micro is not None
        assert (micro, as_number(micro)) == (thousandths * 1000, thousandths / 1000)


class TestFunction:
    @pytest.fixture(autouse=True)
    def _composed(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(function, "use_case", lambda: world.pace)

    def answer(self, route: str, body: object = None) -> tuple[int, dict[str, Any]]:
        given = call(function, route, body)
        return given["statusCode"], json.loads(given["body"])

    def test_the_pace_is_answered(self, world: World) -> None:
        world.holds(held_until=NOW + MICRO)
        assert self.answer("GET /pace") == (
            200,
            {
                "ceiling": 100,
                "deployedCeiling": 100,
                "pace": 96,
                "perMinute": 6000,
                "heldUntil": "2026-11-18T11:06:41.000Z",
                "holds": 0,
                "circuit": "closed",
                "senders": {"+1*": 5, "12345": 2.5},
                "queued": 0,
                "queueSeconds": 0,
            },
        )

    def test_a_hold_that_is_over_is_left_out(self) -> None:
        assert "heldUntil" not in self.answer("GET /pace")[1]

    def test_the_principal_that_signed_the_request_is_recorded(self, world: World) -> None:
        event = {
            "httpMethod": "PUT",
            "resource": "/pace",
            "body": '{"ceiling": 20}',
            "requestContext": {"identity": {"userArn": JANE, "caller": "AROAEXAMPLE:jane"}},
        }
        assert function.handler(event, Context())["statusCode"] == 200
        assert world.recorded[0]["by"] == JANE

    @pytest.mark.parametrize("context", [None, [], {}, {"identity": None}, {"identity": {"userArn": 7}}])
    def test_without_a_principal_nobody_is_recorded(self, world: World, context: object) -> None:
        event = {"httpMethod": "PUT", "resource": "/pace", "body": '{"ceiling": 20}', "requestContext": context}
        assert function.handler(event, Context())["statusCode"] == 200
        assert world.recorded[0]["by"] is None

    @pytest.mark.parametrize("body", [{}, {"ceiling": None}, {"ceiling": "20"}, {"ceiling": True}, {"ceiling": [20]}])
    def test_another_type_is_malformed(self, world: World, body: object) -> None:
        status, problem = self.answer("PUT /pace", body)
        assert (status, problem["code"]) == (400, "malformed_request")
        assert world.recorded == []

    @pytest.mark.parametrize(
        "body", ['{"ceiling": NaN}', '{"ceiling": 1e999}', '{"ceiling": -0.5}', '{"ceiling": 101}']
    )
    def test_a_number_that_is_no_ceiling_is_refused(self, world: World, body: str) -> None:
        event = {"httpMethod": "PUT", "resource": "/pace", "body": body}
        given = function.handler(event, Context())
        problem = json.loads(given["body"])
        assert (given["statusCode"], problem["code"]) == (422, "validation_failed")
        assert [each["code"] for each in problem["errors"]] == ["invalid_ceiling"]
        assert world.recorded == []

    def test_a_number_of_endless_digits_is_refused(self) -> None:
        event = {"httpMethod": "PUT", "resource": "/pace", "body": f'{{"ceiling": {"9" * 400}}}'}
        assert function.handler(event, Context())["statusCode"] in {400, 422}


class TestSettings:
    GIVEN = {"LEDGER_TABLE": "l", "COORDINATION_TABLE": "c", "BULK_QUEUE_URL": "q"}  # noqa: RUF012

    def test_the_minutes_budget_is_sixty_times_the_seconds_where_none_is_given(self) -> None:
        rate = ManagePaceSettings.from_environment({**self.GIVEN, "CXONE_REQUESTS_PER_SECOND": "50"}).rate
        assert (rate, PaceLaw(rate).per_minute(Pace())) == (AccountRate(50, 0.96), 3000)
        given = {"CXONE_REQUESTS_PER_MINUTE": "2000", "SENDER_REQUESTS_PER_SECOND": "+1*=5"}
        settings = ManagePaceSettings.from_environment({**self.GIVEN, **given})
        assert settings.rate == AccountRate(100, 0.96, 2000)
        assert settings.sender_rates == SenderRates.parse("+1*=5")

    def test_the_subject_has_one_name(self) -> None:
        assert subjects.pace() == SUBJECT
