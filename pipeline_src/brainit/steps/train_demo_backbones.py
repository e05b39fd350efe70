"""Train the tiny networks that the demo ships with, on separate simulated scenes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from brainit.core.cli import run_step
from brainit.core.seeds import use_threads
from brainit.demo.recipes import RECIPES, train_networks


def main(argv: Sequence[str] | None = None) -> None:
    """Train the networks named by `--only`, or all, and write them to `--out`."""
    parser = argparse.ArgumentParser(
        prog="python -m brainit.steps.train_demo_backbones", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--seed", type=int, default=42, help="seed of scenes, weights and batches")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--only", nargs="+", choices=sorted(RECIPES), help="train these alone")
    args = parser.parse_args(argv)
    use_threads(args.threads)
    train_networks(args.out, args.seed, args.only or list(RECIPES))


if __name__ == "__main__":
    run_step("train_demo_backbones", main)
