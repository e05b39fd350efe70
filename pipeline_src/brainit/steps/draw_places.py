"""Draw the true places of the test images without objects, an oracle of a simulation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainit.core.cli import parse_flags, run_step
from brainit.data.trials import read_trials
from brainit.evaluation.truth import read_scenes
from brainit.reconstruction.gather import write_run
from brainit.reconstruction.parts import Part, part_attributes
from brainit.simulation.empty_places import empty_places
from brainit.workflow.runs import PLACE_ONLY, Run


@dataclass(frozen=True)
class Flags:
    """A subject's test images and the ground truth of the simulation."""

    subject: str
    """subj01 to subj08"""
    trials: Path
    """its trial table"""
    truth: Path
    """folder of the ground truth"""
    stimuli: Path
    """folder of the stimuli, for the montage"""
    out: Path
    """folder of reconstructions to write"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    flags, settings = parse_flags(argv, "draw_places", __doc__, Flags)
    trials = read_trials(flags.trials)
    shown = np.unique(trials["nsd_id"][trials["split"] == "test"].to_numpy(dtype=np.int64))
    images = shown[: settings.recon.max_images]
    places = empty_places(read_scenes(flags.truth), images, settings.simulation.image_size)
    part = Part(images, places, part_attributes(flags.subject, "fused", settings, {}))
    run = Run("baseline", method=PLACE_ONLY).name
    write_run(flags.subject, run, flags.stimuli, {"fused": part}, flags.out, settings)


if __name__ == "__main__":
    run_step("draw_places", main)
