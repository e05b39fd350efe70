"""Leave out external images that a cohort tests or validates with, near copies too (D.1)."""

from collections.abc import Sequence

from brainit.core.cli import parse_flags, run_step
from brainit.data.external_images import ScreenFiles, screen_external


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    files, settings = parse_flags(argv, "screen_external", __doc__, ScreenFiles)
    screen_external(files, settings.cohort.near_copy_bits)


if __name__ == "__main__":
    run_step("screen_external", main)
