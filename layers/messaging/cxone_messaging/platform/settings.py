"""A function's settings, read from environment variables.

Each handler has its model; the template sets exactly these. A function reads its settings at their first use, never at
import. So the package imports without any variable.
"""

import os
import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from cxone_messaging.platform.base_urls import is_base_url

_SENDER = re.compile(r"\+?[0-9]{3,15}")
_IDENTIFIER = re.compile("[!-~](?:[ -~]{0,126}[!-~])?")
_COUNTRY = re.compile("[A-Z]{2}")
# No name of an event of templates, which is subscribed to anyway.
_EVENT_NAME = re.compile(
    r"(?!(?:template\.approved|a2p\.registered)$)(?:[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?)?"
)
_WORDS = re.compile("[^,<>\\s][^,<>\\r\\n\\t]{0,31}(?:,[^,<>\\r\\n\\t]{1,32}){0,15}")


# The template's parameters have the same patterns. Variables that are set in another way are checked too. An error
# names the variable and quotes no value.
def _base_url(url: str) -> str:
    if not is_base_url(url):
        raise ValueError("must be https://host[:port][/path] without user, query or fragment")
    return url.rstrip("/")  # the paths that are appended begin with a slash


def _sender(number: str) -> str:
    if not _SENDER.fullmatch(number):
        raise ValueError("must be a number in international form, or a short code, in digits")
    return number


def _identifier(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text):
        raise ValueError("must be at most 128 printable ASCII characters, none of them a space at an end")
    return text


def _country(code: str) -> str:
    if not _COUNTRY.fullmatch(code):
        raise ValueError("must be the two capitals of a country's ISO 3166 code")
    return code


def _event_name(name: str) -> str:
    if not _EVENT_NAME.fullmatch(name):
        raise ValueError("must be at most 64 letters, digits and . _ : - between them, and no event of templates")
    return name


def _words(text: str) -> str:
    if not _WORDS.fullmatch(text):
        raise ValueError("must be at most 16 words or phrases of 32 characters, with commas between them")
    return text


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Sender = Annotated[str, AfterValidator(_sender)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Country = Annotated[str, AfterValidator(_country)]
EventName = Annotated[str, AfterValidator(_event_name)]
Words = Annotated[str, AfterValidator(_words)]


class Settings(BaseModel):
    """Settings come from variables of the same names in capitals.

    An empty variable counts as not set.
    """

    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        alias_generator=str.upper,
        defer_build=True,  # a function reads only one of these models
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings. Raises `ValidationError`, which names each missing one."""
        return cls.model_validate({name: environment[name] for name in cls.variables() if environment.get(name)})

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Return the names of the variables that this model reads."""
        return frozenset(str(field.alias) for field in cls.model_fields.values())
