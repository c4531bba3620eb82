"""Have a stack subscribe to CXone's events now, replies among them, and say whether CXone posts them."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.interrupts import INTERRUPTED, interrupt_on_signals
from cli.invoke import InvokeError, invoke
from cli.plain import visible
from cli.progress import Progress
from cli.target import TargetError
from cxone_messaging.domain.subscriptions import Replies
from cxone_messaging.platform.subscribe_event import SUBSCRIBE_NOW_EVENT

NOT_POSTED, NO_RESULT = 1, 3
FUNCTION = "approve_template"
_RUNBOOK = "docs/runbook.md#have-replies-posted"


def run(stack: str | None, *, as_json: bool = False) -> int:
    """Subscribe, and print the result; return 0 if replies are posted, 1 if not, and 3 if nothing is known."""
    progress = Progress(on_stderr=as_json)
    interrupt_on_signals()
    try:
        answer = invoke(stack, FUNCTION, json.dumps(SUBSCRIBE_NOW_EVENT))
    except (InvokeError, TargetError, BotoCoreError, ClientError) as error:
        progress.error(str(error))
        return NO_RESULT
    except KeyboardInterrupt:
        progress.error("interrupted")
        return INTERRUPTED
    if not isinstance(answer, dict) or "replies" not in answer:
        progress.error("the deployed version does not know this command: deploy this version first")
        return NO_RESULT
    if as_json:
        print(json.dumps(answer))
    well = is_well(answer)
    end = progress.end if well else progress.finding
    end(visible(as_text(answer)))
    return 0 if well else NOT_POSTED


def is_well(answer: dict[str, Any]) -> bool:
    """Whether CXone posts replies, a person has it do so, or they are collected."""
    return answer["replies"] in {Replies.SUBSCRIBED, Replies.BY_HAND, Replies.COLLECTED}


def as_text(answer: dict[str, Any]) -> str:
    """Return a function's answer as a sentence that says what to do."""
    reason = answer.get("reason") or "no reason is known"
    match answer["replies"]:
        case Replies.SUBSCRIBED:
            return f"CXone posts replies ({answer['event']}), since {answer['since']}"
        case Replies.COLLECTED:
            return "Digital Engagement posts no replies, so there is nothing to subscribe to: they are collected"
        case Replies.BY_HAND:
            return f"InboundEvent is empty: a STOP arrives only if CXone posts replies by hand: {_RUNBOOK}"
        case Replies.REFUSED:
            return f"CXone refuses the event {answer['event']} ({reason}): STOP replies do not arrive: {_RUNBOOK}"
        case _ if answer.get("arrive"):
            return f"CXone signs replies with the previous secret; the current one is not subscribed ({reason})"
        case _:
            return f"STOP replies do not arrive ({reason}); the stack tries again within the hour: {_RUNBOOK}"
