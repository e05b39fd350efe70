"""Broken on purpose: a demo's decoders that cannot decode fall to chance.

Needs a finished demo: `BRAINIT_FINISHED_DEMO=results/demo`, with the settings it was made with
(`config/demo.yaml`, and the files that `BRAINIT_FINISHED_CONFIG` lists). Its files stay as they
are; each broken decoder makes its images and their scores anew.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.stats import norm

from brainit.core.seeds import seeded_init, torch_generator
from brainit.evaluation.metrics.names import is_two_way
from brainit.models.brain_transformer import BitDecoder, BrainInteractionTransformer, load_bit

FINISHED = os.environ.get("BRAINIT_FINISHED_DEMO")
CONFIGS = ["config/demo.yaml", *os.environ.get("BRAINIT_FINISHED_CONFIG", "").split()]
DECODERS = {"lowlevel": "bit_lowlevel/bit.safetensors", "semantic": "joint/bit.safetensors"}
SUBJECT, OTHER = "subj01", "subj02"

pytestmark = pytest.mark.skipif(
    FINISHED is None, reason="needs a finished demo: BRAINIT_FINISHED_DEMO=results/demo"
)


def untrained(bit: BitDecoder) -> None:
    """Give the network the weights it starts from; its calibration stays."""
    model = bit.model
    with seeded_init(0, "untrained"):
        fresh = BrainInteractionTransformer(
            voxel_cluster=model.voxel_cluster,
            n_clusters=model.n_clusters,
            n_queries=model.n_queries,
            out_width=model.out_width,
            width=model.width,
            n_heads=model.n_heads,
            n_blocks=model.n_blocks,
        )
    model.load_state_dict(fresh.state_dict())


def shuffled_voxels(bit: BitDecoder) -> None:
    """Shuffle clusters and embeddings among the subject's voxels, alike."""
    voxels = bit.subjects[SUBJECT]
    order = torch.randperm(voxels.stop - voxels.start, generator=torch_generator(0, "shuffled"))
    with torch.no_grad():
        for table in (bit.model.voxel_embedding, bit.model.voxel_cluster):
            table[voxels] = table[voxels][order]


def another_subject(bit: BitDecoder) -> None:
    """Give the subject's voxels the clusters and embeddings of another's, in any order."""
    own, other = bit.subjects[SUBJECT], bit.subjects[OTHER]
    generator = torch_generator(0, "another_subject")
    rows = torch.randint(other.stop - other.start, (own.stop - own.start,), generator=generator)
    with torch.no_grad():
        for table in (bit.model.voxel_embedding, bit.model.voxel_cluster):
            table[own] = table[other][rows]


BROKEN: dict[str, Callable[[BitDecoder], None]] = {
    each.__name__: each for each in (untrained, shuffled_voxels, another_subject)
}


def commands_of_run(results: Path, repository: Path) -> list[str]:
    """Return the commands that make images and scores of the full run, as the log prints them."""
    steps = ("lowlevel", "semantic", "fused")
    target = results / SUBJECT / "metrics/40h_fused_summary.csv"
    rules = [*(f"reconstruct_{kind}" for kind in steps), "gather_reconstructions", "evaluate"]
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--nocolor", "--cores", "1"]
    command += ["--configfile", *CONFIGS, "--forcerun", *rules, "--", str(target)]
    printed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    found = re.findall(r"^Shell command: (python -m .*?) &>", printed.stdout, re.MULTILINE)
    names = [line.split()[2].removeprefix("brainit.steps.") for line in found]
    assert sorted(names) == sorted(rules), "the finished demo is of other settings or code"
    return [line for rule in rules for line, name in zip(found, names, strict=True) if name == rule]


def environment() -> dict[str, str]:
    """Return the environment in which `python` is that of the tests."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def commands() -> list[str]:
    assert FINISHED is not None
    return commands_of_run(Path(FINISHED), Path.cwd())


def scores_with(
    decoders: dict[str, Path], commands: list[str], results: Path, folder: Path
) -> pd.DataFrame:
    """Run the commands with other decoders and outputs; return the summary of the scores."""
    made: dict[str, object] = {
        str(results / "group/all/main" / DECODERS[k]): path for k, path in decoders.items()
    }
    for name in ("recon_40h_parts/", "recon_40h ", "metrics/40h_"):
        made[f"{results / SUBJECT}/{name}"] = f"{folder}/{name}"
    (folder / "metrics").mkdir()
    for kind in ("lowlevel", "semantic", "fused"):
        (folder / "recon_40h_parts" / kind).mkdir(parents=True)
    for command in commands:
        for old, new in made.items():
            command = command.replace(old, str(new))
        subprocess.run(command, shell=True, check=True, capture_output=True, env=environment())
    return pd.read_csv(folder / "metrics/40h_fused_summary.csv").set_index("metric")


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_decoder_identifies_at_chance(
    name: str, commands: list[str], tmp_path: Path
) -> None:
    assert FINISHED is not None
    decoders = {}
    for kind, file in DECODERS.items():
        bit = load_bit(Path(FINISHED) / "group/all/main" / file)
        BROKEN[name](bit)
        decoders[kind] = tmp_path / f"{kind}.safetensors"
        bit.save(decoders[kind], 0)
    scores = scores_with(decoders, commands, Path(FINISHED), tmp_path)
    whole = pd.read_csv(Path(FINISHED) / SUBJECT / "metrics/40h_fused_summary.csv")
    whole = whole.set_index("metric")
    two_way = [metric for metric in scores.index if is_two_way(metric)]
    assert two_way
    reach = norm.isf(0.005 / len(two_way))  # 99 % for all metrics together
    for metric in two_way:
        found = scores.loc[metric]
        print(f"{name}: {metric} {found['mean']:.1f} (whole {whole.loc[metric, 'mean']:.1f})")
        assert abs(found["mean"] - found["null_mean"]) <= reach * found["null_sd"]
        assert whole.loc[metric, "mean"] > whole.loc[metric, "null_p999"]
