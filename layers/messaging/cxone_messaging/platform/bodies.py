"""JSON that comes in from outside, as pydantic models: ours are strict about names, other people's about types only."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Body(BaseModel):
    """A request's JSON object: camelCase names, no unknown ones, and no type but the one asked for."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid", frozen=True)


class WireBody(BaseModel):
    """A JSON object that somebody else designed: their names, and room for fields they may add."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
