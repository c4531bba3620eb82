"""The settings of a message's rules: which API carries it, and what a request need not name."""

from pydantic import Field

from cxone_messaging.domain.cxone_apis import DFO, SMS_V2, CxoneApi
from cxone_messaging.domain.phone_numbers import DEFAULT_COUNTRY
from cxone_messaging.domain.sms import SmsRules
from cxone_messaging.platform.settings import Country, Identifier, Settings


class MessageSettings(Settings):
    """The settings of the rules of a message, for the functions that check one."""

    cxone_api: CxoneApi = SMS_V2
    default_sender: Identifier = ""
    cxone_campaign_id: Identifier = ""
    max_segments: int = Field(default=10, ge=1, le=255)
    default_country: Country = DEFAULT_COUNTRY

    @property
    def rules(self) -> SmsRules:
        """The rules that a message must keep. In Digital Engagement, a campaign is a label of ours."""
        return SmsRules(
            self.cxone_campaign_id,
            self.default_sender,
            self.max_segments,
            self.default_country,
            needs_campaign=self.cxone_api == SMS_V2,
            is_looked_up=self.cxone_api == DFO,
        )
