"""The Python interface on the tiny run: its five examples, and images equal to the pipeline's."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import brainit
from tests.refusals import refused

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
GUIDE, README = REPOSITORY / "config" / "python.md", REPOSITORY / "README.md"


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


EXAMPLES = python_blocks(GUIDE)


@pytest.fixture(autouse=True)
def as_before():  # type: ignore[no-untyped-def]
    """Put torch's switches back: the reconstructor sets those of the run."""
    yield
    torch.use_deterministic_algorithms(False)


def example(number: int, first: Path) -> dict[str, Any]:
    """Run an example of the guide, from 1, on the tiny run; return its names."""
    return names_of(EXAMPLES[number - 1], f"{GUIDE.name}, example {number}", first)


def names_of(block: str, where: str, first: Path) -> dict[str, Any]:
    """Run a page's block on the tiny run; return its names."""
    names: dict[str, Any] = {}
    code = block.replace("results/demo", str(first / "results"))
    exec(compile(code, where, "exec"), names)
    return names


def test_there_are_five_examples() -> None:
    assert len(EXAMPLES) == 5


def test_the_readme_s_lines(first: Path) -> None:
    (block,) = python_blocks(README)
    found = names_of(block, README.name, first)
    shape = found["images"]["fused"].shape
    assert list(found["images"]) == ["lowlevel", "semantic", "fused"]
    assert shape[0] == len(found["betas"]) == len(found["pixels"])
    assert not found["results"].table("table1").empty
    assert not found["results"].scores("subj01").empty


def test_example_1_looks_at_images(first: Path) -> None:
    found = example(1, first)
    methods = {"1h": ("ridge", "knn"), "40h": ("ridge", "knn", "place_only")}
    baselines = {f"subj01/{amount}_{name}" for amount in methods for name in methods[amount]}
    runs = {run for run in found["results"].runs if run.startswith("subj01")}
    assert runs == {"subj01/1h", "subj01/40h"} | baselines
    assert len(found["pairs"]) == len(found["seen"]) == 8
    assert found["seen"].shape == found["recons"].images["fused"].shape


def test_example_2_reconstructs_from_betas(first: Path) -> None:
    images = example(2, first)["images"]
    assert {kind: len(found) for kind, found in images.items()} == {
        "lowlevel": 4,
        "semantic": 4,
        "fused": 4,
    }


def test_example_3_scores_as_the_pipeline(first: Path) -> None:
    found = example(3, first)
    kept = found["results"].scores("subj01")
    for name in ("PixCorr", "SSIM", "demo_resnet.mid.distance", "demo_resnet.final.two_way"):
        np.testing.assert_allclose(found["scores"][name], kept[name], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(found["similarity"], kept["SSIM"], rtol=1e-5)
    np.testing.assert_allclose(found["correlation"], kept["PixCorr"], rtol=1e-5)
    assert set(np.unique(found["identified"] * 7 / 100).round(6)) <= set(range(8))


def test_example_4_gives_data_frames(first: Path) -> None:
    found = example(4, first)
    assert len(found["worst"]) == 3 and found["worst"]["PixCorr"].is_monotonic_increasing
    assert found["results"].tables == ("t4", "t6", "t7", "table1")
    assert len(found["pixels"]) == 2 + 5 and isinstance(found["verdicts"], pd.DataFrame)


def test_example_5_predicts(first: Path) -> None:
    found = example(5, first)
    assert found["tokens"].shape[0] == 2 and bool(torch.isfinite(found["tokens"]).all())


@pytest.mark.parametrize("run", ["40h", "1h"])
def test_array_door_gives_the_pipeline_s_images(first: Path, run: str) -> None:
    results = brainit.load(first / "results")
    kept = results.reconstructions("subj01", run)
    betas, nsd_id = results.test_betas("subj01")
    assert nsd_id[:8].tolist() == kept.nsd_id.tolist()
    found = results.reconstructor("subj01", run)(betas[:8], nsd_id[:8])
    for kind, images in kept.images.items():
        np.testing.assert_array_equal(found[kind], images, err_msg=kind)


def test_array_door_gives_the_pipeline_s_images_for_any_subset(first: Path) -> None:
    results = brainit.load(first / "results")
    kept = results.reconstructions("subj01")
    betas, nsd_id = results.test_betas("subj01")
    rows = [6, 0, 3]
    found = results.reconstructor("subj01")(betas[rows], nsd_id[rows])
    for kind, images in kept.images.items():
        np.testing.assert_array_equal(found[kind], images[rows], err_msg=kind)


def test_other_betas_give_other_images(first: Path) -> None:
    results = brainit.load(first / "results")
    betas, nsd_id = results.test_betas("subj01")
    reconstruct = results.reconstructor("subj01")
    images = [reconstruct(rows, nsd_id[:2]) for rows in (betas[:2], betas[2:4])]
    assert not np.array_equal(images[0]["fused"], images[1]["fused"])


def test_faults_are_named(first: Path) -> None:
    results = brainit.load(first / "results")
    betas, nsd_id = results.test_betas("subj01")
    reconstruct = results.reconstructor("subj01")
    spoilt = betas[:2].astype(np.float32)
    spoilt[0, 0] = np.nan
    for faulty, ids, code, fact in (
        (betas[:2, 1:], nsd_id[:2], "wrong-shape", f"betas of shape {(2, betas.shape[1] - 1)}"),
        (betas[:2], nsd_id[:3], "wrong-shape", "3 ids"),
        (betas[:2], nsd_id[[0, 0]], "duplicate-data", "nsd_id"),
        (spoilt, nsd_id[:2], "bad-values", "NaN"),
    ):
        with refused(code, fact):
            reconstruct(faulty, ids)
    with refused("missing-file", "provenance.json"):
        results.reconstructor("subj02")
    with refused("unknown-name", "table t3"):
        results.table("t3")
    with refused("missing-file", "subj01"):
        brainit.load(first / "results" / "subj01")
