"""Join images and trials of several data sets; what tests in one trains in no other (3.1)."""

from collections.abc import Sequence

from brainit.core.cli import parse_flags, run_step
from brainit.data.cohort import JoinFiles, join_cohort


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    files, settings = parse_flags(argv, "join_cohort", __doc__, JoinFiles)
    join_cohort(files, settings.cohort.near_copy_bits)


if __name__ == "__main__":
    run_step("join_cohort", main)
