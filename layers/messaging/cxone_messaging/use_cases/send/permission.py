"""Whether a message may go to its recipient at this moment: a consent, and how long it may be gone by."""

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain.consents import FRESH_SECONDS, Consent, refusal
from cxone_messaging.domain.errors import Code, StorageError
from cxone_messaging.domain.outcomes import Rejected
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

# Reads whose answer comes when the consent is no longer fresh are repeated so often.
_READS = 2


class Permission:
    """One recipient's consent, read again whenever it was read more than `FRESH_SECONDS` ago.

    So a word of the recipient's that is in force for that long has stopped every message that is not with CXone yet,
    whatever held its sender up: a token, a slot, a slow network, or a frozen process.
    """

    def __init__(self, consents: ConsentStore, recipient_hash: str, clock: Clock) -> None:
        self._consents = consents
        self.recipient_hash = recipient_hash
        self._clock = clock
        self._consent: Consent | None = None
        self._fresh_until: Deadline | None = None

    @property
    def last(self) -> Consent | None:
        """The consent as it was last read, fresh or not."""
        return self._consent

    @property
    def is_fresh(self) -> bool:
        """Whether the consent may still be gone by."""
        return self._fresh_until is not None and not self._fresh_until.has_passed

    def know(self, consent: Consent | None, fresh_until: Deadline) -> None:
        """Take over a consent that was read together with others, and until when it may be gone by."""
        self._consent, self._fresh_until = consent, fresh_until

    def read(self) -> Consent | None:
        """Read the consent, and return it. Raises `StorageError`."""
        fresh_until = fresh(self._clock)
        self._consent, self._fresh_until = self._consents.find(self.recipient_hash), fresh_until
        return self._consent

    def consent(self) -> Consent | None:
        """Return a consent that is fresh at this moment. Raises `StorageError`, also where reading takes too long."""
        for _ in range(_READS):
            if self.is_fresh:
                return self._consent
            self.read()
        if not self.is_fresh:
            raise StorageError("the consent could not be read in time")
        return self._consent

    def withdrawn(self) -> Rejected | None:
        """Return the end of a message that may not be sent any more, or None where it may. Raises `StorageError`."""
        refused = refusal(self.consent())
        if refused is None:
            return None
        reason = "the recipient's consent was withdrawn meanwhile"
        return Rejected("opted_out" if refused.code is Code.OPTED_OUT else "not_opted_in", reason, None)


def fresh(clock: Clock) -> Deadline:
    """Return until when a consent may be gone by whose reading begins now."""
    return Deadline.after(clock, FRESH_SECONDS)
