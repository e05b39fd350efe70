"""Predict the semantic tokens of a subject's test images by a peer, and its retrieval features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.models.baselines.predictions import write_predictions
from brainit.models.peers.predict import PeerJob, predict_by_peer


@dataclass(frozen=True)
class Output:
    """Where the predictions go."""

    out: Path
    """folder of predicted tokens to write"""
    retrieval: Path
    """folder of retrieval features to write"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "predict_peer", __doc__, PeerJob, Output)
    use_threads(args.settings.run.threads)
    tokens, features = predict_by_peer(args[PeerJob], args.settings)
    write_predictions(args[Output].out, tokens)
    write_predictions(args[Output].retrieval, features)


if __name__ == "__main__":
    run_step("predict_peer", main, output="--out")
