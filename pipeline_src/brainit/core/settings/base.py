"""Base class of the settings' sections, and their common types."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Duration = Annotated[str, Field(pattern=r"^(15min|30min|450trials|[1-9]h|[123][0-9]h)$")]
Subject = Annotated[str, Field(pattern=r"^subj0[1-8]$")]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base class of a section: frozen, strict, refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
