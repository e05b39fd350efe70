"""Rates that `brainit rehearse` measured on this machine: seconds and memory of each step.

The file is `rehearsal.json` in the folder of the results. Plan and rules read it where it is there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError

RATES_NAME = "rehearsal.json"


@dataclass(frozen=True)
class Rate:
    """Measured cost of a step: seconds of one unit, seconds besides, peak memory in bytes.

    `settings` are those of the step as the rules gave them, `n_voxels` all voxels of its subjects.
    `seconds_per_unit` is None where the rehearsal found no rate.
    """

    seconds_per_unit: float | None
    fixed_seconds: float
    host_bytes: float
    settings: Mapping[str, Any]
    n_voxels: int = 0

    def job_seconds(self, n_units: float, settings: Mapping[str, Any]) -> float | None:
        """Return the seconds of a job of `n_units`; None without a rate under these settings."""
        if self.seconds_per_unit is None or settings != self.settings:
            return None
        return self.fixed_seconds + n_units * self.seconds_per_unit


@dataclass(frozen=True)
class Rates:
    """Rates by step and kind of BIT, and where they were measured."""

    steps: Mapping[str, Rate] = field(default_factory=dict)
    device: str = ""

    @classmethod
    def of(cls, results: Path) -> "Rates":
        """Read the rates in a folder of results, none where there are none.

        Raises `PipelineError` for a damaged file.
        """
        path = results / RATES_NAME
        if not path.is_file():
            return cls()
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            steps = {
                name: Rate(
                    step["seconds_per_unit"],
                    float(step["fixed_seconds"]),
                    float(step["host_bytes"]),
                    step["settings"],
                    int(step["n_voxels"]),
                )
                for name, step in read["steps"].items()
                if step["verdict"] != "failed"
            }
            return cls(steps, str(read["provenance"]["device"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PipelineError(
                path,
                "the rates of a rehearsal",
                repr(error),
                "delete it, or run `brainit rehearse` again",
                code="damaged-file",
            ) from error
