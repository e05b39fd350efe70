"""Train a peer (MindEye2 or MindBridge) on a pool, to predict semantic tokens."""

from collections.abc import Sequence

from brainit.core.cli import parse_step, run_step
from brainit.core.seeds import use_threads
from brainit.training.inputs import BitOutput, ImageFiles, PoolData, TokenFiles
from brainit.training.peers.run import PeerInputs, run_train_peer
from brainit.training.resume import Work

FLAGS = (PeerInputs, PoolData, ImageFiles, TokenFiles, BitOutput, Work)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    args = parse_step(argv, "train_peer", __doc__, *FLAGS)
    use_threads(args.settings.run.threads)
    data, files, out = args[PoolData], args[ImageFiles], args[BitOutput]
    run_train_peer(args[PeerInputs], data, files, args[TokenFiles], args.settings, out, args[Work])


if __name__ == "__main__":
    run_step("train_peer", main, output="--bit")
