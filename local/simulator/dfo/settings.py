"""The settings of the Digital Engagement side; all but those of the account begin with `dfo_`."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from local.simulator.model import Strict

MAIN_CHANNEL = "sms_local_15550000000"


class Channel(Strict):
    """One channel of the tenant; it is the sender of what goes out by it."""

    id: str
    number: str = "15550000000"
    name: str = "local SMS"
    platform: str = "sms"
    is_private: bool = True
    has_outbound_flow: bool = True
    tracks_delivery: bool | None = True  # None: its objects do not have the flag (assumption 9)


class Delivery(Strict):
    """What becomes of a text, in seconds after it was sent; None for what never happens.

    A seen text is not delivered by that alone. One that fails and is delivered has both, in the order of their times.
    """

    delivered_after: NonNegativeFloat | None = None
    failed_after: NonNegativeFloat | None = None
    seen_after: NonNegativeFloat | None = None
    reason: str | None = None  # why it failed


_CHANNELS = (
    Channel(id=MAIN_CHANNEL),
    Channel(id="sms_local_15550000001", number="15550000001", name="no receipts", tracks_delivery=False),
    Channel(id="sms_local_15550000002", number="15550000002", name="no outbound flow", has_outbound_flow=False),
)

_FAILED = Delivery(failed_after=1.0, reason="carrier rejected the number")

type IdToken = Literal[
    "signed", "unsigned", "forged", "wrong_issuer", "wrong_audience", "expired", "no_tenant", "absent"
]


class DfoSettings(Strict):
    """Most of these choose between the answers that the facts leave open."""

    access_key_id: str = "local-access-key"
    access_key_secret: str = Field("local-key-secret&+==", exclude=True, repr=False)  # real ones end in "=" too

    dfo_issuer: str | None = None  # None: the base URL that the request went to
    dfo_tenant_id: str = "11eb0000-1111-4222-8333-444455556666"
    dfo_area: str = "na1"
    dfo_domain: str = "niceincontact.com"
    dfo_configuration_omits: frozenset[str] = frozenset()  # only `ui_endpoint` and five more are required
    dfo_global_domain_field: Literal["globaldomain", "globaldomain_v1"] = "globaldomain"
    dfo_moved_status: Literal[404, 410] = 404  # at the host, or the path, of an area that is not the tenant's
    dfo_id_token: IdToken = "signed"  # noqa: S105
    dfo_wrong_key_status: Literal[400, 401] = 400
    dfo_clock_ahead_seconds: float = 0.0  # of ours, in all that this API says and does

    dfo_channels: tuple[Channel, ...] = _CHANNELS
    dfo_success_status: Literal[200, 201, 202, 204] = 200  # of a send; 204 has no body (assumption 1)
    dfo_refusal_status: Literal[400, 422] = 400  # of an invalid request
    dfo_number_format: Literal["any", "digits", "e164"] = "any"  # of recipients (assumption 3)
    dfo_longest_text: PositiveInt | None = None  # in characters (assumption 5)
    dfo_custom_fields: tuple[str, ...] = ("reference",)  # the idents that contacts may have
    dfo_unknown_custom_field: Literal["refuse", "ignore"] = "refuse"  # assumption 20
    dfo_one_contact_per_number: bool = True  # False: each send opens a contact

    dfo_sends_per_minute: PositiveInt = 6_000
    dfo_contact_burst: PositiveInt = 250
    dfo_contact_refill_per_minute: PositiveFloat = 17.0
    dfo_reads_per_hour: PositiveInt = 120_000

    dfo_index_lag_seconds: NonNegativeFloat = 0.0  # after which a search shows a message, or its change (assumption 10)
    dfo_page_size: PositiveInt = 25
    dfo_last_page: Literal["no_token", "token"] = "no_token"  # "token": only an empty page is without one
    dfo_content_match: Literal["substring", "words"] = "substring"  # in any letter case (assumption 11)

    dfo_delivered_shape: Literal["agent_sdk", "chat_sdk", "absent"] = "agent_sdk"  # assumptions 7 and 8
    dfo_delivery: Delivery = Delivery(delivered_after=1.0)
    dfo_deliveries: dict[str, Delivery] = Field(default_factory=lambda: {"0001": _FAILED})

    def channel(self, channel_id: str) -> Channel | None:
        """A channel, or None."""
        return next((channel for channel in self.dfo_channels if channel.id == channel_id), None)

    def delivery_for(self, digits: str) -> Delivery:
        """What becomes of a text to a number: by the longest end of its digits that is listed, else the usual."""
        ends = [end for end in self.dfo_deliveries if digits.endswith(end)]
        return self.dfo_deliveries[max(ends, key=len)] if ends else self.dfo_delivery
