"""Pick the training images with the nearest responses as reconstructions, a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.models.baselines.nearest_images import NearestJob, nearest_images
from brainit.reconstruction.gather import write_run
from brainit.reconstruction.parts import COPIES_STIMULI, Part, part_attributes
from brainit.workflow.runs import KNN, Duration, Run


@dataclass(frozen=True)
class Output:
    """Where the images go."""

    out: Path
    """folder of reconstructions to write"""
    recorded: bool = False
    """the subject is recorded, in a configuration of a simulation, too"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "pick_nearest", __doc__, NearestJob, Output)
    job, settings = args[NearestJob], args.settings
    images, pictures = nearest_images(job, settings)
    attributes = part_attributes(job.subject, "fused", settings, {})
    part = Part(images, pictures, {**attributes, COPIES_STIMULI: True})
    run = Run("baseline", Duration.parse(job.duration), method=KNN).name
    output = args[Output]
    parts = {"fused": part}
    write_run(job.subject, run, job.stimuli, parts, output.out, settings, output.recorded)


if __name__ == "__main__":
    run_step("pick_nearest", main)
