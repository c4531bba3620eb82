"""A faithful stand-in for the CXone APIs, in process or over HTTP; see docs/simulator.md."""

from local.simulator.dfo.settings import MAIN_CHANNEL, Channel, Delivery
from local.simulator.events import Event
from local.simulator.faults import Fault
from local.simulator.journal import Entry, Message
from local.simulator.settings import DeliveryStep, Settings
from local.simulator.simulator import Simulator
from local.simulator.templates import Edit, Template
from local.simulator.wire import Behaviour, Request, Response

__all__ = [
    "MAIN_CHANNEL",
    "Behaviour",
    "Channel",
    "Delivery",
    "DeliveryStep",
    "Edit",
    "Entry",
    "Event",
    "Fault",
    "Message",
    "Request",
    "Response",
    "Settings",
    "Simulator",
    "Template",
]
