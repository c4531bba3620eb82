"""What every model of the simulator's own configuration is made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

type RetryAfterFormat = Literal["seconds", "date", "absent"]
type Probability = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """A frozen model that knows all its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
