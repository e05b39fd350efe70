"""The registry of decoders: the file names its decoder, and another one needs one line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from tests.refusals import refused

from brainit import api
from brainit.core.artifacts import Artifact, Contract, TensorSpec, read_artifact, write_artifact
from brainit.core.decoders import DECODERS
from brainit.core.settings import Settings, parse_sections
from brainit.models import decoders
from brainit.models.brain_decoder import Decoder, DecoderSpec, TokenNetwork, counts_of, voxels_of
from brainit.models.brain_mlp import MlpDecoder
from brainit.models.brain_transformer import BitDecoder
from brainit.models.subject_voxels import subject_slices
from brainit.models.token_calibration import TokenCalibration

COUNTS = {"subj01": 4, "subj05": 5}


def settings_of(decoder: str) -> Settings:
    return parse_sections(
        {
            "bit": {"width": 8, "n_heads": 2, "n_blocks": 1},
            "bit_lowlevel": {"decoder": decoder, "mlp_width": 6},
            "run": {"device": "cpu"},
        }
    )


def spec(decoder: str, kind: str = "lowlevel") -> DecoderSpec:
    clusters = Artifact({"voxel_cluster": np.arange(9) % 3}, {"n_clusters": 3})
    return DecoderSpec(kind, COUNTS, clusters, 5, 4, settings_of(decoder))


@pytest.mark.parametrize(("name", "kind"), [("bit", BitDecoder), ("mlp", MlpDecoder)])
def test_the_file_says_which_decoder_it_holds(
    name: str, kind: type[Decoder], tmp_path: Path
) -> None:
    path = tmp_path / "bit.safetensors"
    made = decoders.new_decoder(spec(name))
    made.calibration = TokenCalibration(
        2 * torch.eye(4).expand(2, 4, 4), torch.ones(2, 4), torch.tensor([3, 2])
    )
    made.save(path, seed=7)
    assert read_artifact(path, name, kind.contract).attributes["seed"] == 7
    found = decoders.load_decoder_of(path, settings_of(name), "lowlevel")
    assert isinstance(found, kind) and found.subjects == subject_slices(COUNTS)
    betas = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = made.to(torch.device("cpu")).predict_tokens("subj05", betas)
        assert torch.equal(found.predict_tokens("subj05", betas), tokens)
    features = api.predict_features(api.open_decoder(path), "subj05", betas)
    torch.testing.assert_close(features, 2 * tokens + 1)


def test_each_decoder_is_registered_under_its_name() -> None:
    for name in DECODERS:
        found = decoders.decoder_class(name)
        assert found.name == name and isinstance(decoders.new_decoder(spec(name)), Decoder)


def test_the_seed_alone_draws_a_new_decoder() -> None:
    for name in DECODERS:
        one, two = (decoders.new_decoder(spec(name)) for _ in range(2))
        betas = torch.ones(1, 4)
        assert torch.equal(one.predict_tokens("subj01", betas), two.predict_tokens("subj01", betas))


@pytest.mark.parametrize(("made", "expected"), [("bit", "mlp"), ("mlp", "bit")])
def test_another_decoder_than_the_settings_is_refused(
    made: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "bit.safetensors"
    decoders.new_decoder(spec(made)).save(path, seed=0)
    with refused("wrong-settings", str(path), f"'{expected}'", f"'{made}'"):
        decoders.load_decoder_of(path, settings_of(expected), "lowlevel")
    with refused("wrong-settings", str(path), "semantic"):
        decoders.load_decoder_of(path, settings_of(made), "semantic")


def test_files_that_hold_no_decoder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bit.safetensors"
    with refused("missing-file", str(path)):
        decoders.load_decoder(path)
    write_artifact(path, "generator", {"w": np.ones(2, np.float32)}, {"name": "x", "seed": 0})
    with refused("wrong-kind", "'generator'", "bit", "mlp"):
        decoders.load_decoder(path)
    path.write_bytes(path.read_bytes()[:-3])
    with refused("damaged-file", str(path)):
        decoders.load_decoder(path)


@pytest.mark.parametrize("name", ["bit", "mlp"])
@pytest.mark.parametrize(("subject", "n_voxels"), [("subj02", 4), ("subj01", 5)])
def test_other_voxels_are_refused(name: str, subject: str, n_voxels: int) -> None:
    decoder = decoders.new_decoder(spec(name))
    with refused("inconsistent-inputs", str(COUNTS), f"{subject} with {n_voxels} voxels"):
        decoder.predict_tokens(subject, torch.ones(1, n_voxels))


@dataclass
class MeanDecoder:
    """Predicts the mean tokens of the training examples, whatever the responses."""

    name: ClassVar[str] = "mean"
    contract: ClassVar[Contract] = Contract(
        {"mean": TensorSpec("float32", ("queries", "out"))},
        ("n_voxels", "seed"),
        made_by="train_bit",
    )

    subjects: dict[str, slice]
    mean: torch.Tensor
    calibration: TokenCalibration | None = None

    @classmethod
    def new(cls, spec: DecoderSpec) -> "MeanDecoder":
        return cls(subject_slices(spec.subjects), torch.zeros(spec.n_queries, spec.out_width))

    @classmethod
    def load(cls, path: Path) -> "MeanDecoder":
        found = read_artifact(path, cls.name, cls.contract)
        subjects = subject_slices(found.attributes["n_voxels"])
        return cls(subjects, torch.from_numpy(found["mean"]))

    def require_settings(self, path: Path, settings: Settings, kind: str) -> None:
        pass

    def fit(self, data: Any) -> pd.DataFrame:
        tokens = torch.cat([tokens for _, _, tokens in data.examples()])
        self.mean = tokens.mean(0)
        return pd.DataFrame({"n_examples": [len(tokens)]})

    def save(self, path: Path, seed: int) -> None:
        attributes = {"n_voxels": counts_of(self.subjects), "seed": seed}
        write_artifact(path, self.name, {"mean": self.mean.numpy()}, attributes, self.contract)

    def to(self, device: torch.device) -> "MeanDecoder":
        return self

    def predict_tokens(self, subject: str, betas: torch.Tensor) -> torch.Tensor:
        voxels_of(self.subjects, subject, betas)
        return self.mean.expand(len(betas), -1, -1)


class TwoExamples:
    """Training data of two examples."""

    def train(self, network: TokenNetwork) -> pd.DataFrame:
        raise NotImplementedError

    def calibrate(self, network: TokenNetwork) -> None:
        raise NotImplementedError

    def examples(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        yield "subj01", torch.ones(1, 4), torch.full((1, 5, 4), 1.0)
        yield "subj05", torch.ones(1, 5), torch.full((1, 5, 4), 4.0)


def test_one_line_registers_another_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refused("invalid-setting", "bit_lowlevel.decoder", "'bit' or 'mlp'", "mean"):
        settings_of("mean")
    monkeypatch.setitem(DECODERS, "mean", f"{__name__}:MeanDecoder")
    made = decoders.new_decoder(spec("mean"))
    assert made.fit(TwoExamples())["n_examples"].tolist() == [2]
    path = tmp_path / "bit.safetensors"
    made.save(path, seed=0)
    decoder = decoders.load_decoder_of(path, settings_of("mean"), "lowlevel")
    assert torch.equal(
        decoder.predict_tokens("subj05", torch.ones(3, 5)), torch.full((3, 5, 4), 2.5)
    )
    found = api.predict_features(api.open_decoder(path), "subj01", torch.ones(1, 4))
    assert torch.equal(found, torch.full((1, 5, 4), 2.5))
