"""Predictions of an encoder for held-out images, with a stand-in encoder and real files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from brainit.core.artifacts import write_artifact
from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections
from brainit.core.shards import write_shards
from brainit.data.nsd import paths as nsd_paths
from brainit.data.trials import TRIAL_COLUMNS
from brainit.evaluation import encoder as encoder_accuracy
from brainit.evaluation.encoder import EncoderFiles, evaluate_encoder, predict_test_responses
from brainit.models.voxel_encoder import VoxelEncoder
from brainit.simulation import nsd_files


class MeanEncoder(VoxelEncoder):
    """Predict each voxel as its number times the image's mean."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    @property
    def subjects(self) -> tuple[str, ...]:
        return ("subj02", "subj01")

    def voxel_slice(self, subject: str) -> slice:
        return {"subj02": slice(0, 2), "subj01": slice(2, 5)}[subject]

    def hoist(self, voxels: slice) -> slice:
        return voxels

    def predict(self, images: torch.Tensor, voxels: slice) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))[:, None] * torch.arange(voxels.start, voxels.stop)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six trials: test images 7 (twice) and 2, training images between them."""
    rows = [
        (trial, 1, 1, trial, nsd_id, 0, split == "test", split)
        for trial, (nsd_id, split) in enumerate(
            [(7, "test"), (1, "train"), (2, "test"), (7, "test"), (3, "val"), (4, "train")]
        )
    ]
    pd.DataFrame(rows, columns=list(TRIAL_COLUMNS)).to_csv(tmp_path / "trials.csv", index=False)
    betas = np.arange(18, dtype=np.float16).reshape(6, 3)
    np.save(tmp_path / "betas.npy", betas)
    stimuli = np.random.default_rng(0).integers(0, 256, size=(8, 4, 4, 3)).astype(np.uint8)
    write_shards(tmp_path / "stimuli", iter([stimuli]))
    monkeypatch.setattr(encoder_accuracy, "load_encoder", lambda *_: MeanEncoder())
    return tmp_path


def predict(folder: Path, subject: str) -> encoder_accuracy.EncoderPredictions:
    return predict_test_responses(
        folder / "encoder",
        {subject: folder / "betas.npy"},
        {subject: folder / "trials.csv"},
        folder / "stimuli",
        None,
        parse_sections({"run": {"device": "cpu"}}),
    )[0]


def test_only_test_images_with_repeats_averaged(files: Path) -> None:
    found = predict(files, "subj01")
    assert found.measured.tolist() == [[6.0, 7.0, 8.0], [4.5, 5.5, 6.5]]  # images 2 and 7
    stimuli = np.load(files / "stimuli" / "shard_000.npy") / 255.0
    expected = [[stimuli[i].mean() * voxel for voxel in (2, 3, 4)] for i in (2, 7)]
    np.testing.assert_allclose(found.predicted, expected, rtol=1e-5)


def test_an_encoder_of_other_voxels_is_refused(files: Path) -> None:
    with pytest.raises(PipelineError) as error:
        predict(files, "subj02")
    assert error.value.code == "inconsistent-inputs"
    assert "subj02" in error.value.expected and "3 voxels" in error.value.expected
    assert "'subj02': 2" in error.value.found


def test_a_subject_s_accuracy_by_part_from_its_files(files: Path) -> None:
    """Three voxels: two left in nsdgeneral, one right in RSC."""
    vertex, hemisphere = np.array([0, 2, 1]), np.array([0, 0, 1])
    tensors = {
        "vertex": vertex,
        "hemisphere": hemisphere,
        "position_mm": np.zeros((3, 3), dtype=np.float32),
        "noise_ceiling": np.array([5.0, 20.0, 100.0], dtype=np.float32),
    }
    attributes = {"subject": "subj01", "space": "s", "mask": "algonauts", "n_dropped_nan": 0}
    write_artifact(files / "voxels", "voxels", tensors, attributes)
    for side, name, inside in (
        ("lh", "nsdgeneral", [1, 0, 1]),
        ("lh", "nsdgeneralRSC", [0, 0, 0]),
        ("rh", "nsdgeneral", [0, 0, 0]),
        ("rh", "nsdgeneralRSC", [0, 1, 0]),
    ):
        values = np.array([inside], dtype=np.float32)
        nsd_files.write_mgh(files / "nsd" / nsd_paths.label(side, name), values)
    given = EncoderFiles(
        encoder=files / "encoder",
        nsd=files / "nsd",
        voxels=files / "voxels",
        betas=files / "betas.npy",
        trials=files / "trials.csv",
        stimuli=files / "stimuli",
    )
    settings = parse_sections({"run": {"device": "cpu"}, "evaluation": {"n_bootstrap": 20}})
    table = evaluate_encoder("subj01", given, settings).set_index("part")
    assert table["n_voxels"].to_dict() == {
        "all voxels": 3,
        "left hemisphere": 2,
        "right hemisphere": 1,
        "label nsdgeneral": 2,
        "label nsdgeneralRSC": 1,
        "ceiling 0 to 10 %": 1,
        "ceiling 10 to 30 %": 1,
        "ceiling 50 to 100 %": 1,
    }
    assert (table["n_images"] == 2).all()
    np.testing.assert_allclose(table["mean_r"].abs(), 1.0, atol=1e-6)  # two images: a line
