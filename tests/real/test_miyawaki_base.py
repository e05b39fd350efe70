"""A real V1 recording as a base of its own: a cohort whose only member is a lab's subject.

Every test figure also occurs in training: scores tell how well known figures are recognised.
"""

import logging
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tests.cohort_folders import run_here, write_external
from tests.run_folder import link_repository
from tests.workflow.dry_runs import DRY, call_snakemake, parse_jobs

from brainit.commands.program import run
from brainit.core.artifacts import read_artifact

logger = logging.getLogger(__name__)

SMALL = {
    "encoder": {"epochs": 10, "batch": 16, "voxels_per_example": 400},
    "clusters": {"n_clusters": 16},
    "bit": {"n_blocks": 1},
    "synthesis": {"enabled": False},
    "bit_lowlevel": {
        "loss": "mse",
        "calibration": "none",
        "epochs": 60,
        "batch": 8,
        "voxels_per_example": 2000,
        "warmup_epochs": 1.0,
        "plateau_patience": 8,
        "plateau_threshold": 1.0e-4,
    },
    "bit_semantic": {"epochs": 3, "batch": 8, "voxels_per_example": 600},
    "dip": {"iterations": 200, "chunk": 12},
}
"""The low-level branch is nearly that of `test_miyawaki`; the semantic one runs, and no more."""


def mean_image_correlation(root: Path) -> float:
    """Return the mean correlation of the test images with the mean training image."""
    folder = root / "miyawaki"
    trials, images = pd.read_csv(folder / "trials.csv"), np.load(folder / "images.npy")
    is_test = (trials["split"] == "test").to_numpy()
    mean = images[trials["image"][~is_test]].mean(axis=0).ravel()
    shown = images[trials["image"][is_test]].reshape(is_test.sum(), -1)
    return float(np.mean([np.corrcoef(image, mean)[0, 1] for image in shown]))


@pytest.mark.real
@pytest.mark.slow
def test_its_models_train_from_scratch_and_decode_it(
    shared_dir: Path,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No NSD anywhere: from the published file to images and scores, by the workflow's jobs."""
    started = time.monotonic()
    link_repository(repository, root := tmp_path / "run")
    source = shared_dir / "data" / "miyawaki2008" / "miyawaki_structured_28x28.mat"
    run(["import-subject", "miyawaki2008", str(source), str(root / "miyawaki")])
    write_external(root / "coco", 12)
    paths = {"results": "results", "store": "results/.store", "coco_source": f"file://{root}/coco"}
    own = {"run": {"simulation": False}, "cohort": {"subjects": ["lab/miyawaki"]}}
    overlay = {**own, "paths": paths, "lab": {"lab/miyawaki": "miyawaki"}, **SMALL}
    overlay["recon"] = {"max_images": None}
    (root / "own.yaml").write_text(yaml.safe_dump(overlay))
    files = ("config/demo.yaml", "tests/e2e/tiny.yaml", "own.yaml")
    targets = [f"results/miyawaki/metrics/40h_{kind}.csv" for kind in ("fused", "lowlevel")]
    result = call_snakemake(root, *targets, *DRY, "--configfile", *files)
    text = result.stdout + result.stderr
    assert result.returncode == 0, text
    jobs = parse_jobs(text)
    rules = {job["rule"] for job in jobs}
    assert {"train_encoder", "cluster_voxels", "train_bit", "train_joint"} <= rules
    assert not rules & {"download", "download_images", "prepare_design", "simulate_nsd"}
    assert not [rule for rule in rules if rule.startswith("adapt")], "all from scratch"
    monkeypatch.chdir(root)
    run_here(jobs)
    clusters = read_artifact(
        Path("results/group/all/main/clusters/clusters.safetensors"), "clusters"
    )
    n_voxels = np.load("miyawaki/betas.npy", mmap_mode="r").shape[1]
    assert clusters.attributes["n_voxels"] == {"miyawaki": n_voxels}
    fused, lowlevel = (pd.read_csv(target) for target in targets)
    minutes, mean_image = (time.monotonic() - started) / 60, mean_image_correlation(root)
    with caplog.at_level(logging.INFO):
        scores = lowlevel.mean(numeric_only=True).round(3).to_string()
        logger.info("%.1f min; mean image %.3f; low-level:\n%s", minutes, mean_image, scores)
    assert len(fused) == len(lowlevel) == 12 and np.isfinite(fused["PixCorr"]).all()
    assert lowlevel["PixCorr"].mean() > 0.9 > mean_image
