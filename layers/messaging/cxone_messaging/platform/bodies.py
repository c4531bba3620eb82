"""JSON from outside, as pydantic models: ours are strict about names and types, CXone's about types."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Body(BaseModel):
    """A request's JSON object: camelCase names, no unknown names, and exactly the declared types."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid", frozen=True)


class WireBody(BaseModel):
    """A JSON object of CXone's design: its own names, and unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
