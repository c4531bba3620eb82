"""What a message says of its delivery, computed from the clock when it is read."""

from local.simulator.dfo.settings import Delivery, DfoSettings
from local.simulator.dfo.times import milliseconds

_END_USER, _USER = "end-user-1", "user-1"


def delivered(delivery: Delivery, sent: float, now: float, settings: DfoSettings) -> dict[str, object]:
    """Return the fields of a message that has this delivery, as of `now`: `delivered`, and `seen` in one shape.

    The chat SDK's items have no place for a failure, so a failed text of that shape just has none.
    """
    past = sorted(
        (sent + after, is_success)
        for after, is_success in ((delivery.delivered_after, True), (delivery.failed_after, False))
        if after is not None and sent + after <= now
    )
    match settings.dfo_delivered_shape:
        case "absent":
            return {}
        case "agent_sdk":
            items = [
                {"isSuccess": good, "deliveredAt": milliseconds(at), "reason": None if good else delivery.reason}
                for at, good in past
            ]
            return {"delivered": items}
        case "chat_sdk":
            user = {"endUserId": _END_USER, "userId": _USER}
            seen = seen_at(delivery, sent, now)
            return {
                "delivered": [{"deliveredAt": milliseconds(at), **user} for at, good in past if good],
                "seen": [] if seen is None else [{"seenAt": seen, **user}],
            }


def seen_at(delivery: Delivery, sent: float, now: float) -> str | None:
    """When the message was seen, or None if it was not by `now`."""
    if delivery.seen_after is None or sent + delivery.seen_after > now:
        return None
    return milliseconds(sent + delivery.seen_after)
