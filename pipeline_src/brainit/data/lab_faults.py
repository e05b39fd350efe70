"""Faults of outside files, collected instead of raised at the first one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.errors import PipelineError

_NAMED = 5
_Read = TypeVar("_Read")


@dataclass
class Faults:
    """The faults found so far, each in the words of a `PipelineError`."""

    found: list[str] = field(default_factory=list)

    def add(self, where: Path | str, expected: str, found: str, fix: str) -> None:
        """Add a fault."""
        self.found.append(str(PipelineError(where, expected, found, fix)))

    def read(self, reader: Callable[..., _Read], *args: Any) -> _Read | None:
        """Return what `reader` reads, or None with its fault added."""
        try:
            return reader(*args)
        except PipelineError as error:
            self.found.append(str(error))
            return None


def bad_numbers(column: pd.Series, low: float, high: float, is_whole: bool) -> NDArray[np.int64]:
    """Return the rows whose value is no finite number within the bounds."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    is_good = np.isfinite(values) & (values >= low) & (values <= high)
    if is_whole:
        is_good &= values == np.floor(values)
    return np.flatnonzero(~is_good)


def values_at(column: pd.Series, rows: NDArray[np.int64]) -> str:
    """Return the first of the values in `rows` as text, with their number and the first row."""
    named = some(column.iloc[rows[: _NAMED + 1]].tolist())
    return f"{named} in {len(rows)} rows (first: row {rows[0]})"


def some(values: Iterable[Any]) -> str:
    """Return the first values as text, with dots where there are more."""
    listed = [str(value) for value in values]
    return ", ".join(listed[:_NAMED]) + (", ..." if len(listed) > _NAMED else "")
