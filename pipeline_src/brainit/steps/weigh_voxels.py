"""Weigh a subject's voxels by an encoder's accuracy on validation images, for the search."""

from collections.abc import Sequence

from brainit.core.cli import parse_flags, run_step
from brainit.core.seeds import use_threads
from brainit.reconstruction.voxel_weights import WeightsJob, weigh_voxels


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    job, settings = parse_flags(argv, "weigh_voxels", __doc__, WeightsJob)
    use_threads(settings.run.threads)
    weigh_voxels(job, settings)


if __name__ == "__main__":
    run_step("weigh_voxels", main, output="--out")
