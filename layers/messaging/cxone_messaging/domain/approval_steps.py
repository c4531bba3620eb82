"""The steps of an approval that CXone is asked to take, and how far each has come by the entries that tell of it.

A step that CXone must not be asked for twice is claimed first: the claim says who is at it, and until when; then comes
what came of it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from http import HTTPStatus

from cxone_messaging.domain.entries import Entry, EntryType
from cxone_messaging.domain.errors import Code


class Step(StrEnum):
    """What CXone is asked to do, in this order."""

    APPROVE = "approve"
    REGISTER = "register"
    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"


DONE = {
    Step.APPROVE: EntryType.APPROVED,
    Step.REGISTER: EntryType.REGISTERED,
    Step.SUBSCRIBE: EntryType.SUBSCRIBED,
    Step.PUBLISH: EntryType.PUBLISHED,
}


@dataclass(frozen=True, slots=True)
class StepState:
    """How far a step of one version has come.

    `claim` is the last one, as long as nobody has said what came of it; `doubtful` are the claims under which CXone
    may have done the step without our knowing, the open one among them.
    """

    done: Entry | None
    claim: Entry | None
    doubtful: tuple[Entry, ...]


def step_state(entries: Iterable[Entry], step: Step, version: str) -> StepState:
    """Read how far a step has come off the entries of a subject.

    A refusal of what was asked for, unlike one of the token or the rate, or a conflict, settles earlier doubts: the
    same request was no better before.
    """
    done: Entry | None = None
    claim: Entry | None = None
    doubtful: list[Entry] = []
    for entry in entries:
        if entry.data.get("version") != version:
            continue
        if entry.type == DONE[step]:
            done = done or entry
        elif entry.data.get("step") != step:
            continue
        elif entry.type == EntryType.STEP_CLAIMED:
            doubtful += [claim] if claim else []
            claim = entry
        elif entry.type == EntryType.STEP_FAILED and claim and entry.data.get("owner") == claim.data.get("owner"):
            if entry.data.get("inDoubt"):
                doubtful.append(claim)
            elif entry.data.get("refused"):
                doubtful.clear()
            claim = None
    return StepState(done, claim, (*doubtful, *([claim] if claim else [])))


def is_refusal(code: Code, http_status: int | None) -> bool:
    """Whether CXone refused what was asked itself, not the token, the scope or the rate that it was asked with.

    A conflict is none: what was asked for before may be what is in the way. Nor is a redirect, which judges nothing.
    """
    if code is not Code.CXONE_REJECTED or http_status in {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}:
        return False
    return http_status is not None and http_status >= HTTPStatus.BAD_REQUEST


def request_key(*told: str) -> str:
    """Make the `Idempotency-Key` of a call of CXone's: 64 hex digits, the same whenever the same is asked."""
    return sha256(json.dumps(told).encode()).hexdigest()
