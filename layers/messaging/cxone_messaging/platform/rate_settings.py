"""The settings of the account's rate. They stand apart, so that other functions do not import what reads them."""

from typing import Annotated

from pydantic import AfterValidator, Field

from cxone_messaging.domain.pace import AccountRate
from cxone_messaging.domain.sender_rates import SenderRates
from cxone_messaging.platform.settings import Settings


def _sender_rates(text: str) -> str:
    SenderRates.parse(text)
    return text


class RateSettings(Settings):
    """The settings of the account's rate, for the functions that send and for those that show or limit the pace."""

    cxone_requests_per_second: float = Field(default=100, gt=0)
    rate_utilisation_percent: float = Field(default=96, gt=0, le=100)
    cxone_requests_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sender_requests_per_second: Annotated[str, AfterValidator(_sender_rates)] = ""

    @property
    def rate(self) -> AccountRate:
        """What the account is allowed."""
        share = self.rate_utilisation_percent / 100
        return AccountRate(self.cxone_requests_per_second, share, self.cxone_requests_per_minute)

    @property
    def sender_rates(self) -> SenderRates:
        """The senders that have a rate of their own."""
        return SenderRates.parse(self.sender_requests_per_second)
