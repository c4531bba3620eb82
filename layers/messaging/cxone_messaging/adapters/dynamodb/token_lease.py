"""The lease for a token's refresh: one worker fetches at a time, and none for a while after a failure."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from botocore.exceptions import BotoCoreError, ClientError

from cxone_messaging.adapters.cxone.shared_token import MAX_GENERATION
from cxone_messaging.domain.errors import StorageError
from cxone_messaging.domain.schedule import DIFFERENCE_SECONDS, MAX_HOLD_SECONDS
from cxone_messaging.domain.token_holds import (
    STORAGE_HOLD_SECONDS,
    Cause,
    HeldBackError,
    Hold,
)
from cxone_messaging.platform.clock_skew import ClockCheck

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# For this long after a refresh, a worker that knows only an older generation must read the shared token again.
JUST_RELEASED_SECONDS = 10.0
# Two right clocks may differ by this much. An instant further ahead than its rule and this allow comes from a wrong
# clock, and counts as passed: otherwise one worker's clock would stop the fleet.
CLOCK_SKEW_SECONDS = DIFFERENCE_SECONDS


class LeaseTakenError(Exception):
    """Another worker is fetching. The shared token stays as it is until that worker releases the lease, or dies."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The lease, as its owner holds it.

    `generation` is unique: no other owner ever gets the same. `failures` counts the preceding failures in a row.
    `issued` is the newest generation that was issued, at `issued_at` (Unix seconds); 0 if there is none.
    """

    owner: str
    generation: int
    failures: int = 0
    issued: int = 0
    issued_at: float = 0.0


def last_plausible(generation: int) -> int:
    """Return a generation if another can follow it, and 0 for a number that no fleet reaches."""
    return generation if generation + 1 < MAX_GENERATION else 0


class RefreshLease(Protocol):
    """The exclusive right to replace one generation of a token. Instants are in Unix seconds."""

    def acquire(self, generation: int, owner: str, now: float, seconds: float, accepted: int = 0) -> Grant | None:
        """Return the lease; None if the shared token must be read again, as just after a newer generation was issued.

        `generation` is the newest that the caller knows. `accepted` is the newest that CXone accepted from the caller;
        it ends a hold for refused tokens. `owner` is valid for one lease only. Raises `LeaseTakenError` while another
        worker fetches, `HeldBackError` if fetches failed lately, and `StorageError`.
        """
        ...

    def release(self, owner: str, generation: int, now: float, *, failures: int = 0, hold: Hold | None = None) -> bool:
        """Release the lease; return whether the owner still held it. Raises `StorageError`.

        `generation` is the newly issued one, 0 if there is none. For `JUST_RELEASED_SECONDS`, no worker that knows only
        older generations gets the lease: the owner shares the token in that time.
        """
        ...

    def withdraw(self, generation: int, now: float, hold: Hold) -> None:
        """Record that a generation is not shared, so that no worker waits for it.

        Raises `StorageError`. Nothing is recorded if a newer generation is being fetched.
        """
        ...


class DynamoRefreshLease:
    """The lease as an item of the Coordination table, keyed by the token's name.

    With a `check`, all instants are in DynamoDB's time as far as that is known. So no worker's wrong clock ends other
    workers' leases and holds.
    """

    def __init__(self, client: "DynamoDBClient", table: str, token_name: str, check: ClockCheck | None = None) -> None:
        self._client = client
        self._table = table
        self._key = {"name": {"S": f"token#{token_name}"}}
        self._check = check

    def acquire(self, generation: int, owner: str, now: float, seconds: float, accepted: int = 0) -> Grant | None:
        """Return the lease; None if the shared token must be read again, as just after a newer generation was issued.

        The generation refuses a worker that read the shared token just before a refresh, and calls this just after.
        The refusal does not last, because a lost or reset shared token would otherwise never be replaced.
        """
        step = 1
        now = self._corrected(now)
        while True:
            item = self._take(generation, now, seconds, owner=owner, accepted=accepted, step=step)
            if item is None:
                return None
            last, issued = _number(item, "lastGeneration"), last_plausible(_number(item, "generation"))
            # An item that was lost, or that an earlier version wrote, starts its count anew. Then the count skips the
            # generations that were used. Numbers that no fleet reaches were written by mistake.
            step = max(last_plausible(generation), issued) + 1 - last
            if step <= 0 < last < MAX_GENERATION:
                return Grant(owner, last, _number(item, "failures"), issued, _number(item, "releasedAt") / 1000)

    def release(self, owner: str, generation: int, now: float, *, failures: int = 0, hold: Hold | None = None) -> bool:
        """Release the lease; return whether the owner still held it. Raises `StorageError`."""
        now = self._corrected(now)
        values: dict[str, int | str] = {":owner": owner, ":failures": failures}
        sets, removals = ["failures = :failures"], ["leaseOwner", "leaseUntil"]
        if generation:
            sets += ["generation = :generation", "releasedAt = :releasedAt"]
            values |= {":generation": generation, ":releasedAt": _milliseconds(now)}
        if hold:
            sets.append(_HOLD)
            values |= _hold_values(hold, now)
        else:
            removals += ["notBefore", "heldAt", "heldFor"]
        try:
            self._update(f"SET {', '.join(sets)} REMOVE {', '.join(removals)}", "leaseOwner = :owner", values)
        except _ConditionError as refused:
            # The SDK repeats a call whose answer was lost: no other owner has this generation.
            return 0 < generation == _number(refused.item, "generation")
        return True

    def withdraw(self, generation: int, now: float, hold: Hold) -> None:
        """Record that a generation is not shared, so that no worker waits for it.

        Raises `StorageError`.
        """
        now = self._corrected(now)
        released_at = _milliseconds(now - JUST_RELEASED_SECONDS) - 1
        with suppress(_ConditionError):
            self._update(
                f"SET releasedAt = :releasedAt, {_HOLD}",
                "generation = :generation AND attribute_not_exists(leaseOwner)",
                {":generation": generation, ":releasedAt": released_at, **_hold_values(hold, now)},
            )

    def _take(
        self, generation: int, now: float, seconds: float, *, owner: str, accepted: int, step: int
    ) -> Mapping[str, Any] | None:
        """Take the lease and return its item; None if another worker shares a newer token.

        Raises `LeaseTakenError` and `HeldBackError`. A refusal returns the item, which contains the reason.
        """
        at, soon = _milliseconds(now), _milliseconds(now + CLOCK_SKEW_SECONDS)
        longest_lease = _milliseconds(now + seconds + CLOCK_SKEW_SECONDS)
        longest_hold = _milliseconds(now + MAX_HOLD_SECONDS + CLOCK_SKEW_SECONDS)
        long_ago = _milliseconds(now - JUST_RELEASED_SECONDS)
        is_free = "attribute_not_exists(leaseUntil) OR leaseUntil < :now OR leaseUntil > :longestLease"
        is_newest = (
            "attribute_not_exists(generation) OR generation <= :generation"
            " OR releasedAt < :longAgo OR releasedAt > :soon"
        )
        is_allowed = (
            "attribute_not_exists(notBefore) OR notBefore <= :now OR notBefore > :longestHold OR heldAt > :soon"
            " OR (heldFor = :refused AND generation <= :accepted)"
        )
        try:
            return self._update(
                "SET leaseOwner = :owner, leaseUntil = :until ADD lastGeneration :step",
                # The SDK repeats a call whose answer was lost: then the lease is this owner's already.
                f"(({is_free}) AND ({is_newest}) AND ({is_allowed})) OR leaseOwner = :owner",
                {
                    ":owner": owner,
                    ":until": _milliseconds(now + seconds),
                    ":step": step,
                    ":now": at,
                    ":soon": soon,
                    ":longestLease": longest_lease,
                    ":longestHold": longest_hold,
                    ":longAgo": long_ago,
                    ":generation": generation,
                    ":refused": Cause.REFUSED,
                    ":accepted": accepted,
                },
            )
        except _ConditionError as refused:
            item = refused.item
        if at <= _number(item, "leaseUntil") <= longest_lease:
            raise LeaseTakenError
        if _number(item, "generation") > generation and long_ago <= _number(item, "releasedAt") <= soon:
            return None
        left = (_number(item, "notBefore") - at) / 1000
        cause = item.get("heldFor", {}).get("S", Cause.UNAVAILABLE)
        if left <= 0 or (cause == Cause.STORAGE and left <= STORAGE_HOLD_SECONDS):
            return None
        raise HeldBackError(Hold(Cause(cause) if cause in Cause else Cause.UNAVAILABLE, left))

    def _corrected(self, now: float) -> float:
        """Return the possible server time that is nearest to `now`; `now` itself without a `check`.

        A new process, or one whose clock was set, first reads the item to learn the time; `StorageError` if it cannot.
        """
        if self._check is None:
            return now
        if self._check.server_time() is None or self._check.has_jumped:
            requested_at = self._check.stopwatch
            try:
                answer = self._client.get_item(TableName=self._table, Key=self._key)
            except (ClientError, BotoCoreError) as error:
                raise StorageError("the token's lease could not be read") from error
            self._observe(answer, requested_at)
        return self._check.nearest(now)

    def _observe(self, answer: Any, requested_at: float) -> None:
        if self._check:
            self._check.observe_answer(answer, requested_at)

    def _update(self, expression: str, condition: str, values: Mapping[str, int | str]) -> Mapping[str, Any]:
        """Change the item and return its new state, or raise `_ConditionError` with its current state."""
        requested_at = self._check.stopwatch if self._check else 0.0
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues={
                    name: {"S": str(value)} if isinstance(value, str) else {"N": str(value)}
                    for name, value in values.items()
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            self._observe(error.response, requested_at)
            raise _ConditionError(cast("Any", error.response).get("Item", {})) from None
        except (ClientError, BotoCoreError) as error:
            raise StorageError("the token's lease could not be written") from error
        self._observe(answer, requested_at)
        return answer["Attributes"]


class _ConditionError(Exception):
    """An update's condition failed.

    `item` is the current item, empty if the service did not return it.
    """

    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__()
        self.item = item


_HOLD = "notBefore = :notBefore, heldAt = :heldAt, heldFor = :heldFor"


def _hold_values(hold: Hold, now: float) -> dict[str, int | str]:
    until = _milliseconds(now + hold.seconds)
    return {":notBefore": until, ":heldAt": _milliseconds(now), ":heldFor": hold.cause}


def _number(item: Mapping[str, Any], name: str) -> int:
    return int(item.get(name, {}).get("N", 0))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
