"""Seconds of a unit of a step's work, from what the probe measured.

A training's unit is an example: the time between two optimiser steps over the examples of a step.
Other steps' unit is an image. Where an image takes iterations or passes of which the rehearsal did
few, their number in the real run is put in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from brainit.commands.rehearse.few_steps import (
    OF_IMAGES,
    TRAININGS,
    FewSteps,
    examples_per_step,
)
from brainit.commands.rehearse.probe import OPTIMIZER

Spans = Mapping[str, Sequence[float]]
_CHUNK, _GENERATOR, _REFINER = "low-level images", "diffusion", "refining"


@dataclass(frozen=True)
class UnitTime:
    """Seconds of one unit, what the unit is, and the seconds of everything else in the job."""

    unit: str
    seconds: float | None
    fixed_seconds: float


def unit_time(few: FewSteps, spans: Spans, wall_s: float, is_whole: bool = True) -> UnitTime:
    """Return the time of a unit at the numbers of iterations and passes of the real run.

    The seconds are None where nothing was measured, and for images of a step that did not end.
    """
    if few.step in TRAININGS:
        steps = list(spans.get(OPTIMIZER, []))
        each = median(steps) if steps else None
        # The first step has no step before it and is not among the spans.
        rest = max(0.0, wall_s - (each or 0.0) * (len(steps) + 1))
        n_examples = examples_per_step(few.step, few.settings)
        return UnitTime("example", None if each is None else each / n_examples, rest)
    if few.step not in OF_IMAGES or not is_whole:
        return UnitTime("job", None, wall_s)
    measured, real = _image_seconds(few, spans)
    rest = max(0.0, wall_s - measured)
    return UnitTime("image", real / few.n_images if measured else None, rest)


def _image_seconds(few: FewSteps, spans: Spans) -> tuple[float, float]:
    """Return the seconds that all images took, and those that they would take in the real run."""
    real, cut = few.settings.get("recon", {}), few.cut.get("recon", {})
    match few.step:
        case "reconstruct_lowlevel":
            n_real, n_cut = (s["dip"]["iterations"] for s in (few.settings, few.cut))
            return _repeated(spans, _CHUNK, OPTIMIZER, n_real, n_cut)
        case "reconstruct_semantic" | "reconstruct_fused":
            is_fused = few.step == "reconstruct_fused"
            first = [s["start_step"] if is_fused else 0 for s in (real, cut)]
            parts = [
                _repeated(spans, _GENERATOR, f"{_GENERATOR} pass", *_passes(real, cut, first)),
                _repeated(spans, _REFINER, f"{_REFINER} pass", *_refining(real, cut)),
            ]
            return sum(m for m, _ in parts), sum(r for _, r in parts)
        case _:
            total = sum(sum(times) for times in spans.values())
            return total, total


def _passes(
    real: Mapping[str, int], cut: Mapping[str, int], first: Sequence[int]
) -> tuple[int, int]:
    return real["n_steps"] - first[0], cut["n_steps"] - first[1]


def _refining(real: Mapping[str, int], cut: Mapping[str, int]) -> tuple[int, int]:
    n_real, n_cut = (s["refiner_steps"] - s["refiner_start"] for s in (real, cut))
    return n_real, n_cut


def _repeated(spans: Spans, whole: str, part: str, n_real: int, n_cut: int) -> tuple[float, float]:
    """Return the seconds of all spans `whole`, as measured and with `n_real` parts in each.

    Each held `n_cut` parts when it was measured.
    """
    wholes, parts = list(spans.get(whole, [])), list(spans.get(part, []))
    if not wholes or not parts:
        return sum(wholes), sum(wholes)
    return sum(wholes), sum(wholes) + len(wholes) * (n_real - n_cut) * median(parts)
