"""Predict features of a subject's test images by ridge regression, a baseline in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.models.baselines.predict import RidgeJob, predict_by_ridge
from brainit.models.baselines.predictions import write_predictions


@dataclass(frozen=True)
class Output:
    """Where the predictions go."""

    out: Path
    """folder of predicted features to write"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "predict_ridge", __doc__, RidgeJob, Output)
    use_threads(args.settings.run.threads)
    write_predictions(args[Output].out, predict_by_ridge(args[RidgeJob], args.settings))


if __name__ == "__main__":
    run_step("predict_ridge", main, output="--out")
