"""How soon a message that CXone did not take may be tried again, whatever an answer says."""

from cxone_messaging.domain.messages import Message
from cxone_messaging.domain.schedule import backoff
from cxone_messaging.domain.times import parse_time

# Half a second after the first try, doubling up to ten seconds: seven posts of one message in half a minute. A try
# that took two, since its token was refused, is followed by the longest pause.
_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 10.0
# So many tries one request makes at most; its caller may ask again.
MOST_TRIES = 6


def pause_after(tries: int, posts: int = 1) -> float:
    """Return the shortest pause, in seconds, after so many tries of one message, the last of which took `posts`."""
    if posts > 1:
        return _LONGEST_SECONDS
    return backoff(_FIRST_SECONDS, max(0, tries - 1), _LONGEST_SECONDS)


def seconds_to_wait(message: Message, now: float) -> float:
    """Return how long a message must still wait before its next try, at `now` (Unix seconds); 0 where it need not.

    A time of the last try that lies ahead, since a clock was wrong, counts as now.
    """
    if message.tried_at is None:
        return 0.0
    tried_at = min(parse_time(message.tried_at).timestamp(), now)
    return max(0.0, tried_at + pause_after(message.attempts, message.posts) - now)
