"""Transfer a peer (MindEye2, its LoRA fine-tuning, MindBridge) to a new subject by its own rule."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, NewSubject, TokenFiles
from brainit.training.peers.run import AdaptPeerInputs, run_adapt_peer
from brainit.training.resume import Work

FLAGS = (AdaptPeerInputs, NewSubject, ImageFiles, TokenFiles, BitOutput, Work)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "adapt_peer", __doc__, *FLAGS)
    use_threads(args.settings.run.threads)
    inputs, new, files = args[AdaptPeerInputs], args[NewSubject], args[ImageFiles]
    tokens, out = args[TokenFiles], args[BitOutput]
    run_adapt_peer(inputs, new, files, tokens, args.settings, out, args[Work])


if __name__ == "__main__":
    run_step("adapt_peer", main, output="--bit")
