"""The scenarios: what the account allows, what the network does, who else sends, and the goals."""

from collections.abc import Mapping
from dataclasses import dataclass

# The first seconds, in which functions make their clients and the poller fills its first batches, do not count.
FROM_SECOND = 5
# Once a law has had this long to learn, 429s count; and once others have left for this long, all of the rate does.
LEARNT_SECONDS, RECOVERED_SECONDS = 15, 60
FREE_SENDER, SLOW_SENDER = "12345", "+15550100001"


@dataclass(frozen=True, slots=True)
class Others:
    """Another user of the account, who sends from one second to another."""

    requests_per_second: float
    from_second: int
    until_second: int
    spread: str = "even"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One account on one network.

    `messages` are more than `seconds` allow, so that the queue never runs out. Of them, `slow_messages` are from a
    sender with `slow_per_second` of its own, evenly between the others. `least` are the least shares of what is
    allowed, by part (see `figures.parts`). `aws_seconds` is the median that each AWS call takes longer.
    `most_calls` is the goal of AWS calls a bulk message; None where slots come singly, so that little can be shared.
    """

    name: str
    title: str
    seconds: int
    messages: int
    least: Mapping[str, float]
    requests_per_second: int = 100
    requests_per_minute: int | None = None
    jitter_seconds: float = 0.0
    aws_seconds: float = 0.0
    others: Others | None = None
    slow_per_second: int | None = None
    slow_messages: int = 0
    compared: bool = False
    most_calls: float | None = 0.3
    # The largest share of 429s, or None where no pace could keep it.
    most_throttled: float | None = 0.003
    # What a 429 says: `seconds` (whole, rounded up), `date` or `absent`.
    retry_after: str = "absent"

    def simulated(self) -> dict[str, object]:
        """Return the simulator's settings, with a gateway's usual latency and nobody else on the account yet."""
        return {
            "delivery_steps": [],
            "latency_median_seconds": 0.15,
            "latency_sigma": 0.4,
            "latency_maximum_seconds": 0.4,
            "retry_after": self.retry_after,
            "requests_per_second": self.requests_per_second,
            "requests_per_minute": self.requests_per_minute,
            "arrival_jitter_seconds": self.jitter_seconds,
            "others_spread": self.others.spread if self.others else "even",
            "sender_requests_per_second": {SLOW_SENDER: self.slow_per_second} if self.slow_per_second else {},
        }

    def configured(self) -> dict[str, str]:
        """Return the functions' settings that state this account's contract."""
        settings = {"CXONE_REQUESTS_PER_SECOND": str(self.requests_per_second)}
        if self.requests_per_minute:
            settings["CXONE_REQUESTS_PER_MINUTE"] = str(self.requests_per_minute)
        if self.slow_per_second:
            settings["SENDER_REQUESTS_PER_SECOND"] = f"{SLOW_SENDER}={self.slow_per_second}"
        return settings

    def sender(self, number: int) -> str | None:
        """Return the sender of one of the messages; None is the default one."""
        is_slow = number * self.slow_messages // self.messages != (number + 1) * self.slow_messages // self.messages
        return SLOW_SENDER if is_slow else None


SCENARIOS = (
    Scenario("ideal", "one loopback", 40, 4_500, {"all": 0.945}, compared=True),
    Scenario("jitter", "requests 0 to 60 ms late", 45, 5_000, {"all": 0.92}, jitter_seconds=0.06, compared=True),
    Scenario(
        "jitter-aws-8",
        "0 to 60 ms late, AWS 8 ms slower",
        40,
        4_500,
        {"all": 0.92},
        jitter_seconds=0.06,
        aws_seconds=0.008,
    ),
    Scenario(
        "jitter-aws-20",
        "0 to 60 ms late, AWS 20 ms slower",
        45,
        5_000,
        {"all": 0.90},
        jitter_seconds=0.06,
        aws_seconds=0.02,
    ),
    Scenario(
        "others",
        "others at 15/s from second 20 to 80",
        148,
        15_500,
        {"while others send": 0.90, "60 s after they left": 0.92},
        others=Others(15, 20, 80),
        compared=True,
    ),
    Scenario(
        "others-at-random",
        "others at 15/s, as a Poisson process",
        80,
        8_500,
        {},
        others=Others(15, 20, 80, "random"),
        most_throttled=None,
    ),
    Scenario(
        "retry-after",
        "0 to 60 ms late, 429s with Retry-After: 1",
        60,
        6_500,
        {},
        jitter_seconds=0.06,
        retry_after="seconds",
    ),
    Scenario("small", "an account of 10/s", 50, 1_000, {"all": 0.92}, requests_per_second=10, most_calls=None),
    Scenario(
        "senders",
        "one sender of 5/s beside a free one",
        50,
        7_000,
        {"slow sender": 0.92, "free sender": 0.92},
        slow_per_second=5,
        slow_messages=1_400,
        most_calls=None,
    ),
    Scenario(
        "minute",
        "a budget of 3,000 a minute",
        FROM_SECOND + 120,
        7_500,
        {"all": 0.92},
        requests_per_minute=3_000,
    ),
)
