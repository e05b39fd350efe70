"""Rates that `brainit rehearse` measured on this machine: seconds and memory of each step.

The file is `rehearsal.json` in the folder of the results. Plan and rules read it where it is there.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.workflow.inputs import Wildcards

RATES_NAME = "rehearsal.json"
_WITH_RATES = ("fits", "request", "time")
"""Verdicts on steps that ran."""
_CPU = "cpu"
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_WITH_TOKENS = ("train_bit semantic", "adapt_bit semantic")
_WITH_LATENTS = ("train_joint", "adapt_joint")
_LATENT_BITS = 16
_OF_MEMORY, _OF_TIME, _MORE_MINUTES = 1.2, 1.5, 30
"""Requests over what was measured; half an hour is for validation, loading and the output files."""


def bits_of_tokens(step: str, features: Mapping[str, Any]) -> int:
    """Return the bits in which a step's tokens or latents are cached; 0 where it has none cached.

    Their form is that of their files, so the step's settings do not hold it.
    """
    if step in _WITH_LATENTS:
        return _LATENT_BITS if features.get("cache_latents", False) else 0
    is_cached = step in _WITH_TOKENS and features.get("cache_tokens", False)
    return int(features["token_bits"]) if is_cached else 0


@dataclass(frozen=True)
class Rate:
    """Measured cost of a step: seconds of one unit, seconds besides, memory of the host in bytes.

    The memory includes a training's data; a step of images has few. `largest_seconds` are those of
    the target's largest job. `settings` are those of the step as the rules gave them, `n_voxels`
    all voxels of its subjects. `seconds_per_unit` is None where the rehearsal found no rate;
    `token_bits`: `bits_of_tokens`.
    """

    seconds_per_unit: float | None
    fixed_seconds: float
    host_bytes: float
    settings: Mapping[str, Any]
    n_voxels: int = 0
    largest_seconds: float | None = None
    token_bits: int = 0

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

        Raises `PipelineError` for a damaged file, and for one that the machine cannot read.
        """
        path = results / RATES_NAME
        try:
            if not path.is_file():
                return cls()
            read = json.loads(path.read_text(encoding="utf-8"))
            steps = {
                name: Rate(
                    step["seconds_per_unit"],
                    float(step["fixed_seconds"]),
                    float(step["host_bytes"]),
                    step["settings"],
                    int(step["n_voxels"]),
                    step["job_seconds"],
                    int(step.get("token_bits", 0)),
                )
                for name, step in read["steps"].items()
                if step["verdict"] in _WITH_RATES
            }
            return cls(steps, str(read["provenance"]["device"]))
        except OSError as error:
            raise PipelineError(
                path,
                "the rates of a rehearsal",
                str(error),
                "let this user read it, check the mount of its file system, then run the same"
                " command again",
                code="machine",
            ) from error
        except _DAMAGE as error:
            raise PipelineError(
                path,
                "the rates of a rehearsal",
                repr(error),
                "delete it, or run `brainit rehearse` again",
                code="damaged-file",
            ) from error


@dataclass(frozen=True)
class RehearsedRequests:
    """Memory and time that rules request: by the rates where they fit a job, else fixed amounts.

    Rates of a machine without a GPU count only for jobs whose settings say `run.device: cpu`.
    `settings` gives the settings of a job of a step, as JSON; `features` are the section's.
    """

    rates: Rates
    settings: Callable[[str], Callable[[Wildcards], str]]
    features: Mapping[str, Any] = field(default_factory=dict)

    def rate(self, step: str, wildcards: Wildcards) -> Rate | None:
        """Return the rate of a job of `step`; None without one under its settings and device."""
        name = step.removesuffix("_{kind}")
        kind = wildcards.get("kind", "")
        name = f"{name} {kind}" if kind else name
        rate = self.rates.steps.get(name)
        if rate is None or rate.token_bits != bits_of_tokens(name, self.features):
            return None
        if json.loads(self.settings(step)(wildcards)) != rate.settings:
            return None
        is_for_cpu = rate.settings.get("run", {}).get("device") == _CPU
        return rate if is_for_cpu or self.rates.device != _CPU else None

    def mem_mb(self, step: str, wildcards: Wildcards, amount: int) -> int:
        """Return the megabytes of a job: a fifth more than measured, at least `amount`.

        A rehearsal does not hold all that its job will: it has few images, and may be cut off.
        """
        rate = self.rate(step, wildcards)
        measured = 0 if rate is None else math.ceil(_OF_MEMORY * rate.host_bytes / 1e9) * 1000
        return max(amount, measured)

    def minutes(self, step: str, wildcards: Wildcards, amount: int) -> int:
        """Return the minutes of a job: half more than projected and 30 besides, or `amount`.

        The projection is of one process; those of `joint.processes` share the units.
        """
        rate = self.rate(step, wildcards)
        if rate is None or rate.largest_seconds is None:
            return amount
        n_processes = rate.settings.get("joint", {}).get("processes", 1)
        shared = (rate.largest_seconds - rate.fixed_seconds) / n_processes
        return math.ceil(_OF_TIME * (rate.fixed_seconds + shared) / 60) + _MORE_MINUTES
