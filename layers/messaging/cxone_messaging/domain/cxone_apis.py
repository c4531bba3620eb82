"""The APIs of CXone's that a stack can speak."""

from typing import Final, Literal

type CxoneApi = Literal["sms-v2", "dfo-3.0"]

SMS_V2: Final = "sms-v2"
DFO: Final = "dfo-3.0"
