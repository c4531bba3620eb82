"""Whether a message may be sent to its recipient at this moment: a consent, and how long it is valid."""

from cxone_messaging.adapters.dynamodb.consents import ConsentStore
from cxone_messaging.domain.consents import FRESH_SECONDS, Consent, refusal
from cxone_messaging.domain.errors import Code, StorageError
from cxone_messaging.domain.outcomes import Rejected
from cxone_messaging.platform.clock import Clock
from cxone_messaging.platform.deadline import Deadline

# How often a consent is read if each answer arrives too late to be fresh.
_READS = 2


class Permission:
    """One recipient's consent, read again whenever it was read more than `FRESH_SECONDS` ago.

    So an opt-out that has been in force for that long stops every message that CXone does not have yet. It does not
    matter what delayed the sender: a token, a slot, a slow network, or a frozen process.
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
        """Whether the consent may still be used."""
        return self._fresh_until is not None and not self._fresh_until.has_passed

    def remember(self, consent: Consent | None, fresh_until: Deadline) -> None:
        """Set a consent that was read together with others, and the deadline of its use."""
        self._consent, self._fresh_until = consent, fresh_until

    def read(self) -> Consent | None:
        """Return the consent after a new read. Raises `StorageError`."""
        fresh_until = fresh(self._clock)
        self._consent, self._fresh_until = self._consents.find(self.recipient_hash), fresh_until
        return self._consent

    def consent(self) -> Consent | None:
        """Return a consent that is fresh at this moment.

        Raises `StorageError`, also if reading takes too long.
        """
        for _ in range(_READS):
            if self.is_fresh:
                return self._consent
            self.read()
        if not self.is_fresh:
            raise StorageError("the consent could not be read in time")
        return self._consent

    def withdrawn(self) -> Rejected | None:
        """Return the rejection of a message that may no longer be sent, or None.

        Raises `StorageError`.
        """
        refused = refusal(self.consent())
        if refused is None:
            return None
        reason = "the recipient's consent was withdrawn meanwhile"
        return Rejected("opted_out" if refused.code is Code.OPTED_OUT else "not_opted_in", reason, None)


def fresh(clock: Clock) -> Deadline:
    """Return the deadline for using a consent whose read begins now."""
    return Deadline.after(clock, FRESH_SECONDS)
