"""A long training and a long evaluation, whose memory and open files are looked at as they go.

`python -m tests.long_runs training` prints a row of JSON every so many steps or images: what is
done, resident MB and open files.
"""

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import torch

from brainit.core.checkpoints import CheckpointFolder
from brainit.core.seeds import torch_generator, use_threads
from brainit.core.settings import LowlevelSettings, parse_sections
from brainit.evaluation import score
from brainit.features.registry import load_backbone
from brainit.training import loop
from brainit.training.resume import Checkpointer
from brainit.training.stage1 import Stage1Task, train_stage1
from brainit.training.targets import LowlevelTargets
from tests.small_trainings import CPU, bit, images, source, write_data

N_STEPS, STEPS_BETWEEN = 2000, 50
N_IMAGES, SIDE, N_EVALUATIONS = 1000, 64, 3
SETTINGS = {
    "run": {"threads": 1, "device": "cpu"},
    "features": {"metrics": ["demo_resnet"]},
    "evaluation": {
        **{"eval_size": 64, "pixel_size": 128, "n_bootstrap": 50, "n_permutations": 20},
        **{"n_same_place": 6, "retrieval_pool": 300, "similar_share": 0.1},
    },
}


def look(done: int) -> None:
    """Print what is done, this process's resident memory in MB and its number of open files."""
    process = psutil.Process()
    row = [done, process.memory_info().rss / 2**20, process.num_fds()]
    sys.stdout.write(json.dumps(row) + "\n")


def train() -> None:
    """Train a small low-level BIT for `N_STEPS`, with threads that load and with checkpoints."""
    steps = itertools.count()
    whole = loop.logged_batches

    def watched(*words: Any) -> Iterator[Any]:
        for batch in whole(*words):
            yield batch
            if (done := next(steps) + 1) % STEPS_BETWEEN == 0:
                look(done)

    with tempfile.TemporaryDirectory() as name, patch.object(loop, "logged_batches", watched):
        folder = Path(name)
        write_data(folder)
        targets = LowlevelTargets(images(folder), load_backbone("vgg", "demo_vgg_bn"))
        settings = LowlevelSettings(
            batch=1,
            epochs=N_STEPS // 16,
            lr=1e-4,
            plateau_patience=N_STEPS,
            voxels_per_example=6,
            queries_per_layer=(3, 3, 2, 2, 1),
        )
        own, layout = source(folder), targets.layout
        checkpoints = CheckpointFolder(folder / "work", "digest")
        model = bit(layout.n_tokens, layout.width)
        task = Stage1Task(model, own, own, targets, settings, 0, CPU)
        train_stage1(task, "stage 1", Checkpointer(checkpoints, steps=STEPS_BETWEEN))


def evaluate() -> None:
    """Score `N_IMAGES` random images `N_EVALUATIONS` times, as the step does."""
    settings = parse_sections(SETTINGS)
    networks = score.load_metric_networks(settings.features.metrics, None, CPU)
    done = itertools.count()

    for network in networks.values():
        network.register_forward_hook(lambda *_: look(next(done)))
    generator = torch_generator(0, "images")
    pair = [torch.rand(N_IMAGES, 3, SIDE, SIDE, generator=generator) for _ in range(2)]
    for _ in range(N_EVALUATIONS):
        score.summarise(score.score_images(*pair, networks, settings), settings)


if __name__ == "__main__":
    use_threads(1)
    {"training": train, "evaluation": evaluate}[sys.argv[1]]()
