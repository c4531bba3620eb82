"""How soon a message that CXone did not accept may be tried again, whatever an answer says."""

from cxone_messaging.domain.messages import Message
from cxone_messaging.domain.schedule import backoff
from cxone_messaging.domain.times import parse_time

# A fifth of a second after the first try, as most refusals are a moment's. Then a second, doubling up to ten: seven
# posts of one message in half a minute. The longest pause follows a try that took two posts because its token was
# refused.
_FIRST_SECONDS, _SECOND_SECONDS, _LONGEST_SECONDS = 0.2, 1.0, 10.0
# The most tries of one request; its caller may send the request again.
MOST_TRIES = 6


def pause_after(tries: int, posts: int = 1) -> float:
    """Return the shortest pause in seconds after `tries` of one message, of which the last took `posts`."""
    if posts > 1:
        return _LONGEST_SECONDS
    return backoff(_SECOND_SECONDS, tries - 2, _LONGEST_SECONDS) if tries > 1 else _FIRST_SECONDS


def seconds_to_wait(message: Message, now: float) -> float:
    """Return the seconds, from `now` (Unix seconds), until a message's next try; 0 if it is due.

    If a wrong clock put the time of the last try in the future, it counts as now.
    """
    if message.tried_at is None:
        return 0.0
    tried_at = min(parse_time(message.tried_at).timestamp(), now)
    return max(0.0, tried_at + pause_after(message.attempts, message.posts) - now)
