"""The steps of an approval at CXone, and the state of each step as its entries record it.

A step that must not be requested twice is claimed first. The claim names its owner and its end; the next entry records
the step's outcome.
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
    """A request to CXone that an approval makes; listed in their order."""

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
    """The state of a step of one version.

    `claim` is the last claim while no entry records its outcome. `doubtful` are the claims under which CXone may have
    done the step without a recorded answer, including the open claim.
    """

    done: Entry | None
    claim: Entry | None
    doubtful: tuple[Entry, ...]


def step_state(entries: Iterable[Entry], step: Step, version: str) -> StepState:
    """Return the state of a step of a version, from the entries of a subject.

    CXone's refusal of the request itself ends earlier doubts: the same request was no better before. A refusal of the
    token or the rate, or a conflict, does not.
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
    """Whether CXone refused the request itself, not its token, its scope or its rate.

    A conflict does not count: an earlier request may be its cause. Nor does a redirect, which judges nothing.
    """
    if code is not Code.CXONE_REJECTED or http_status in {HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT}:
        return False
    return http_status is not None and http_status >= HTTPStatus.BAD_REQUEST


def request_key(*parts: str) -> str:
    """Return the `Idempotency-Key` of a call to CXone: 64 hex digits, the same for the same parts."""
    return sha256(json.dumps(parts).encode()).hexdigest()
