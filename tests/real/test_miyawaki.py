"""Real fMRI: the Miyawaki subject by the array contract, all models from scratch, two minutes.

Low-level reconstructions of the 12 test images beside ridge regression from voxels to pixels and
beside the mean image. Every test figure was also seen in training, which flatters all three.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from brainit.commands.program import run
from brainit.core.artifacts import read_artifact
from brainit.core.settings import parse_sections
from brainit.data.trials import read_trials
from brainit.steps import (
    cluster_voxels,
    prepare_lab_subject,
    reconstruct_lowlevel,
    train_bit,
    train_encoder,
)

logger = logging.getLogger(__name__)

SIDE = 28
RIDGE_PENALTY = 100.0
OVERRIDES: dict[str, dict[str, Any]] = {
    "run": {"threads": 1, "simulation": False},
    "encoder": {"epochs": 10},
    "clusters": {"n_clusters": 16},
    "synthesis": {"enabled": False},
    "bit_lowlevel": {
        "epochs": 60,
        "batch": 16,
        "voxels_per_example": 800,
        "warmup_epochs": 1.0,
        "plateau_patience": 15,
    },
    "dip": {"iterations": 300, "chunk": 12},
}


def settings_words(repository: Path) -> list[str]:
    sections = yaml.safe_load((repository / "config" / "demo.yaml").read_text())
    merged = {name: {**sections.get(name, {}), **over} for name, over in OVERRIDES.items()}
    kept = {name: sections[name] for name in ("images", "features", "bit", "recon")}
    return ["--settings", parse_sections({**kept, **merged}).model_dump_json()]


def scores(found: NDArray[np.float64], seen: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean pixel correlation, and how often the own image wins against another one."""
    n = len(seen)
    table = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            table[i, j] = np.corrcoef(found[i].ravel(), seen[j].ravel())[0, 1]
    wins = [
        (table[i, i] > table[i, j]) + 0.5 * (table[i, i] == table[i, j])
        for i in range(n)
        for j in range(n)
        if i != j
    ]
    return float(np.diag(table).mean()), float(np.mean(wins))


def ridge(source: Path) -> NDArray[np.float64]:
    """Return the test images that ridge regression on z-scored voxels predicts, in time order."""
    data = loadmat(source)
    mean, deviation = data["fmriTrn"].mean(0), data["fmriTrn"].std(0)
    train, test = ((data[name] - mean) / deviation for name in ("fmriTrn", "fmriTest"))
    centre = data["stimTrn"].mean(0)
    kernel = train @ train.T + RIDGE_PENALTY * np.eye(len(train))
    found = test @ train.T @ np.linalg.solve(kernel, data["stimTrn"] - centre) + centre
    return found[np.argsort(data["test_indices"].ravel())]


def reconstruct(folder: Path, root: Path, words: list[str]) -> dict[str, NDArray[Any]]:
    """Run the steps of `recon_1h_scratch` as far as the low-level images."""

    def step(module: Any, **files: object) -> None:
        flags = [(f"--{name.replace('_', '-')}", str(value)) for name, value in files.items()]
        module.main([*(word for flag in flags for word in flag), *words])

    betas, trials, stimuli = root / "betas.npy", root / "trials.csv", root / "stimuli"
    step(
        prepare_lab_subject,
        subject="miyawaki",
        folder=folder,
        trials=trials,
        images=root / "names.csv",
        stimuli=stimuli,
        betas=betas,
        voxels=root / "voxels.st",
        summary=root / "betas.json",
        ceiling=root / "ceiling.st",
        ceiling_summary=root / "ceiling.csv",
    )
    data = {"betas": f"miyawaki={betas}", "trials": f"miyawaki={trials}", "stimuli": stimuli}
    encoder, clusters, bit = root / "encoder.st", root / "clusters.st", root / "bit.st"
    history = {"history": root / "history.csv", "duration": "1h", "work": root / "work"}
    step(train_encoder, **data, **history, pool="scratch_miyawaki_1h", encoder=encoder)
    voxels = f"miyawaki={root / 'voxels.st'}"
    step(
        cluster_voxels,
        encoder=encoder,
        voxels=voxels,
        clusters=clusters,
        summary=root / "clusters.csv",
    )
    step(train_bit, kind="lowlevel", **data, **history, clusters=clusters, bit=bit)
    own = {"subject": "miyawaki", "betas": betas, "trials": trials}
    step(reconstruct_lowlevel, **own, bit=bit, out=root / "recon.st")
    return read_artifact(root / "recon.st", "recon_shard").tensors


@pytest.mark.real
@pytest.mark.slow
def test_v1_of_a_real_brain_gives_figures_back(
    shared_dir: Path, repository: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = shared_dir / "data" / "miyawaki2008" / "miyawaki_structured_28x28.mat"
    folder = tmp_path / "folder"
    run(["import-subject", "miyawaki2008", str(source), str(folder)])
    recon = reconstruct(folder, tmp_path, settings_words(repository))
    assert (read_trials(tmp_path / "trials.csv")["split"] == "test").sum() == 12
    seen = np.load(folder / "images.npy")
    shown = seen[recon["nsd_id"]].astype(np.float64)
    grey = [Image.fromarray(pixels).convert("L") for pixels in recon["image"]]
    small = [image.resize((SIDE, SIDE), Image.Resampling.BOX) for image in grey]
    found = {
        "low-level": np.stack([np.asarray(image, dtype=np.float64) for image in small]),
        "ridge": ridge(source) * 255.0,
        "mean image": np.tile(loadmat(source)["stimTrn"].mean(0) * 255.0, (12, 1)),
    }
    for name in ("ridge", "mean image"):  # pixels column by column, as in the file
        found[name] = found[name].reshape(-1, SIDE, SIDE).transpose(0, 2, 1)
    table = {name: scores(images, shown) for name, images in found.items()}
    rows = [np.concatenate(images, axis=1) for images in (shown, *found.values())]
    sheet = Image.fromarray(np.clip(np.concatenate(rows), 0, 255).astype(np.uint8))
    path = tmp_path / "seen_lowlevel_ridge_mean.png"
    sheet.resize((4 * sheet.width, 4 * sheet.height)).save(path)
    with caplog.at_level(logging.INFO):
        logger.info("pixel r, pairwise identification: %s; pictures at %s", table, path)
    assert table["low-level"][0] > table["mean image"][0]
    assert table["low-level"][1] > 0.7
    assert table["ridge"][0] > 0.95 and table["mean image"][1] == 0.5
