"""Pick the training images with the nearest responses as reconstructions, a baseline."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.models.baselines.nearest_images import NearestJob, nearest_images
from brainit.reconstruction.parts import Part, part_attributes, write_part
from brainit.reconstruction.predictions import ReconOutput


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "pick_nearest", __doc__, NearestJob, ReconOutput)
    job, settings = args[NearestJob], args.settings
    use_threads(settings.run.threads)
    images, pictures = nearest_images(job, settings)
    attributes = part_attributes(job.subject, "fused", settings, {})
    write_part(args[ReconOutput].out, Part(images, pictures, attributes))


if __name__ == "__main__":
    run_step("pick_nearest", main)
