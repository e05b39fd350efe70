"""Base class of the settings' sections, which knows undeclared keys, and their common types."""

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from brainit.core.errors import PipelineError
from brainit.workflow.cohort import folder_name, is_nsd
from brainit.workflow.runs import PARTIAL_DURATION

Duration = Annotated[str, Field(pattern=f"^({PARTIAL_DURATION})$")]
MEMBER = r"[A-Za-z][A-Za-z0-9]{0,31}([/-][A-Za-z0-9][A-Za-z0-9-]{0,63})?"
"""A subject of any data set: subj01, anna, laion/sub-01, and laion-sub-01 as in paths."""


def _of_one_data_set(name: str) -> str:
    """Refuse a name like NSD's that none of its subjects has, and one like another data set's."""
    if re.fullmatch(r"subj\d+", name) and not is_nsd(name):
        raise ValueError("NSD has subj01 to subj08; call a subject of your own otherwise")
    try:
        folder_name(name)
    except PipelineError as error:
        raise ValueError(f"{error.expected}; {error.fix}") from None
    return name


Subject = Annotated[str, Field(pattern=f"^{MEMBER}$"), AfterValidator(_of_one_data_set)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Kind = TypeVar("Kind", bound="Section")


class Section(BaseModel):
    """Base class of a section: frozen, strict, refuses unknown keys.

    In a step, a section holds only the keys that the step's rule passes. Reading another key raises
    `PipelineError`, so that no step uses the default of a key that the user changed.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
    _told: Any = PrivateAttr(default=None)
    """(step, section) if these settings were passed to a step, else None."""

    if not TYPE_CHECKING:  # a type checker must keep reporting unknown attributes

        def __getattr__(self, name: str) -> Any:
            """Refuse a key that was not passed to the step; other names are pydantic's."""
            if name not in type(self).model_fields:
                return super().__getattr__(name)
            step, section = self._told or ("", "")
            key = f"{section}.{name}" if section else name
            raise PipelineError(
                f"step {step}",
                f"the setting {key} among those that its rule passes",
                f"only {sorted(self.model_fields_set)}" if self.model_fields_set else "none",
                f"declare {key} for {step} in brainit/workflow/reads.py",
                code="undeclared-setting",
            )


def can_check(info: Any, section: Section, *keys: str) -> bool:
    """Return True if a validator may compare these keys: a step may get only some of them.

    `info` is pydantic's ValidationInfo.
    """
    return info.context is None or section.model_fields_set.issuperset(keys)


def told_to(step: str, name: str, section: Kind) -> Kind:
    """Return a copy of the section `name` that holds only the keys that were given."""
    copy = section.model_copy()
    for key in type(section).model_fields.keys() - section.model_fields_set:
        del copy.__dict__[key]
    copy._told = (step, name)
    return copy
