"""The peers from training to identification, by their steps on small files; what they refuse."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.baseline_subject import TEST, write_subject
from tests.refusals import refused
from tests.small_peers import settings as small_settings

from brainit.core.artifacts import Artifact
from brainit.core.settings import Settings, parse_sections
from brainit.core.shards import ShardedArray
from brainit.data.trials import in_duration, read_trials
from brainit.evaluation.metrics.names import BRAIN_ASKS, IDENTIFIED
from brainit.evaluation.tables.records import count_training_trials
from brainit.models.baselines.predictions import StoredPredictions
from brainit.models.brain_decoder import DecoderSpec
from brainit.models.brain_transformer import BitDecoder
from brainit.models.decoders import load_peer, new_decoder
from brainit.models.token_calibration import DeviationCalibration
from brainit.steps import adapt_peer, identify_images, predict_peer, train_peer
from brainit.workflow.reads import settings_json

POOL = ("subj02", "subj05")
KINDS = ("semantic", "retrieval")


def options(**sections: dict[str, object]) -> Settings:
    base = small_settings(recon={"batch": 2})
    merged = base.model_dump(mode="json")
    for name, values in sections.items():
        merged[name].update(values)
    return parse_sections(merged)


FEW: dict[str, object] = {"transfer_epochs": 2}
SETTINGS = options(mindeye2=FEW, lora_skip={"epochs": 2}, mindbridge=FEW)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects' files and the peers of both, trained for a few steps."""
    path = tmp_path_factory.mktemp("peers")
    write_subject(path)
    for peer in ("mindeye2", "mindbridge"):
        train_peer.main(
            [
                *("--peer", peer, "--duration", "40h", *images(path), *outputs(path / peer)),
                *("--betas", *(f"{name}={path / 'betas.npy'}" for name in POOL)),
                *("--trials", *(f"{name}={path / 'trials.csv'}" for name in POOL)),
                *told("train_peer", peer=peer),
            ]
        )
    return path


def told(step: str, settings: Settings = SETTINGS, peer: str | None = None) -> tuple[str, str]:
    return "--settings", settings_json(step, settings.model_dump(mode="json"), peer)


def images(path: Path) -> tuple[str, ...]:
    return "--stimuli", str(path / "stimuli"), "--tokens", str(path / "tokens")


def outputs(path: Path) -> tuple[str, ...]:
    path.mkdir(exist_ok=True)
    files = ("--bit", str(path / "bit.safetensors"), "--history", str(path / "history.csv"))
    return *files, "--work", str(path / "work")


def responses(path: Path, subject: str) -> tuple[str, ...]:
    files = ("--betas", str(path / "betas.npy"), "--trials", str(path / "trials.csv"))
    return "--subject", subject, *files


def adapted(
    folder: Path,
    peer: str,
    base: str,
    settings: Settings = SETTINGS,
    subject: str = "subj07",
    sources: tuple[str, ...] = POOL,
    duration: str = "40h",
) -> Path:
    out = folder / f"new_{peer}"
    words = ["--peer", peer, "--base", str(folder / base / "bit.safetensors")]
    words += [*responses(folder, subject), "--duration", duration, *images(folder), *outputs(out)]
    if peer == "mindbridge":
        for kind, file in (("betas", "betas.npy"), ("trials", "trials.csv")):
            words += [f"--source-{kind}", *(f"{name}={folder / file}" for name in sources)]
    adapt_peer.main([*words, *told("adapt_peer", settings, peer)])
    return out


def predict(
    folder: Path,
    peer: str,
    model: Path,
    subject: str,
    name: str = "one",
    settings: Settings = SETTINGS,
) -> Path:
    out = model / name
    words = ["--peer", peer, *responses(folder, subject), "--duration", "40h"]
    words += ["--bit", str(model / "bit.safetensors"), "--out", str(out / "semantic")]
    predict_peer.main(
        [*words, "--retrieval", str(out / "retrieval"), *told("predict_peer", settings, peer)]
    )
    return out


@pytest.mark.parametrize(
    ("peer", "base"),
    [("mindeye2", "mindeye2"), ("lora_skip", "mindeye2"), ("mindbridge", "mindbridge")],
)
def test_a_new_subject_from_transfer_to_identification(folder: Path, peer: str, base: str) -> None:
    model = adapted(folder, peer, base)
    history = pd.read_csv(model / "history.csv")
    assert (history["n_trained"] < history["n_parameters"]).all() == (peer != "mindeye2")
    assert not (model / "work").exists() or not any((model / "work").iterdir())
    one, two = (predict(folder, peer, model, "subj07", name) for name in ("one", "two"))
    for kind in ("semantic", "retrieval"):
        assert StoredPredictions(one / kind, "subj07", kind).nsd_id.tolist() == list(TEST)
        for path in (one / kind).iterdir():
            assert path.read_bytes() == (two / kind / path.name).read_bytes()
    words = ["--subject", "subj07", "--source", peer, *images(folder)]
    words += ["--features", str(one / "retrieval"), "--out", str(model / "found.csv")]
    identify_images.main([*words, *told("identify_images")])
    table = pd.read_csv(model / "found.csv")
    assert list(table.columns) == list(IDENTIFIED) and set(table["pool"]) == {
        2,
        len(TEST),
    }
    assert table["top1_percent"].between(0, 100).all() and BRAIN_ASKS in set(table["direction"])


def test_known_subjects_are_predicted_and_unknown_ones_refused(folder: Path) -> None:
    out = predict(folder, "mindbridge", folder / "mindbridge", "subj05")
    attributes = ShardedArray(out / "semantic").attributes
    assert attributes["peer"] == "mindbridge" and attributes["n_parameters"] > 0
    with refused("inconsistent-inputs", "subj01", "subj05"):
        predict(folder, "mindbridge", folder / "mindbridge", "subj01", "three")
    with refused("wrong-kind", "mindeye2"):
        predict(folder, "mindbridge", folder / "mindeye2", "subj05", "three")


def test_repeats_are_averaged_before_or_after_decoding(folder: Path) -> None:
    """The trials of an image decoded one by one, their tokens and features averaged."""
    single = options(nsd={"average_test_repeats": False})
    path = folder / "mindbridge"
    out = predict(folder, "mindbridge", path, "subj05", "single", single)
    decoder = load_peer(path / "bit.safetensors", "mindbridge")
    table, betas = read_trials(folder / "trials.csv"), np.load(folder / "betas.npy")
    for kind, method in (("semantic", "predict_tokens"), ("retrieval", "retrieval_features")):
        stored = StoredPredictions(out / kind, "subj05", kind)
        assert stored.nsd_id.tolist() == list(TEST)
        found = ShardedArray(out / kind).rows(np.arange(len(TEST)))
        for row, image in zip(found, TEST, strict=True):
            own = betas[(table["nsd_id"] == image).to_numpy()].astype(np.float32)
            each = [getattr(decoder, method)("subj05", torch.from_numpy(b[None])) for b in own]
            mean = torch.cat(each).mean(0).detach().numpy()
            np.testing.assert_allclose(row.astype(float), mean, rtol=2e-3, atol=2e-3)
    before = predict(folder, "mindbridge", path, "subj05", "averaged")
    averaged = ShardedArray(before / "semantic").rows(np.arange(len(TEST)))
    tokens = ShardedArray(out / "semantic").rows(np.arange(len(TEST)))
    assert not np.array_equal(averaged, tokens)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_a_bit_retrieves_by_its_projector_where_it_has_one(folder: Path, weight: float) -> None:
    """Else by its tokens, calibrated as those of the generator are."""
    one = options(bit_semantic={"contrastive_weight": weight})
    n_voxels = np.load(folder / "betas.npy").shape[1]
    clusters = Artifact({"voxel_cluster": np.arange(n_voxels) % 3}, {"n_clusters": 3})
    decoder = new_decoder(DecoderSpec("semantic", {"subj05": n_voxels}, clusters, 4, 8, one))
    assert isinstance(decoder, BitDecoder)
    decoder.calibration = DeviationCalibration(torch.full((4, 8), 2.0), torch.ones(4, 8))
    path = folder / f"bit_{weight}"
    path.mkdir()
    decoder.save(path / "bit.safetensors", 0)
    name = "contrastive" if weight else "stage1"
    out = predict(folder, name, path, "subj05", "own", one)
    stored = {kind: ShardedArray(out / kind).rows(np.arange(len(TEST))) for kind in KINDS}
    table, betas = read_trials(folder / "trials.csv"), np.load(folder / "betas.npy")
    mean = np.stack([betas[(table["nsd_id"] == image).to_numpy()].mean(0) for image in TEST])
    decoder.to(torch.device("cpu"))
    with torch.no_grad():
        raw = decoder.predict_tokens("subj05", torch.from_numpy(mean.astype(np.float32)))
        tokens = decoder.calibration.apply(raw)
        features = decoder.model.retrieval_features(raw) if weight else tokens
    for kind, wanted in zip(KINDS, (tokens, features), strict=True):
        np.testing.assert_allclose(stored[kind].astype(float), wanted, rtol=2e-2, atol=2e-2)
    assert np.array_equal(*stored.values()) == (weight == 0.0)


def test_bases_that_do_not_fit_are_refused(folder: Path) -> None:
    other = options(mindeye2={"width": 9})
    with refused("wrong-settings", "width 9", "width 8"):
        adapted(folder, "mindeye2", "mindeye2", other)
    network = options(features={"semantic_tokens": "open_clip_bigG"})
    with refused("wrong-settings", "demo_openclip", "open_clip_bigG"):
        adapted(folder, "lora_skip", "mindeye2", network)
    with refused("wrong-kind", "mindbridge"):
        adapted(folder, "mindeye2", "mindbridge")
    with refused("unknown-name", "brainformer"):
        adapted(folder, "brainformer", "mindeye2")


@pytest.mark.parametrize("duration", ["40h", "1h"])
def test_validation_trials_train_less_than_all_data_alone(folder: Path, duration: str) -> None:
    """As the table counts them."""
    one = options(mindeye2=FEW, lora_skip={"epochs": 1, "batch": 1})
    model = adapted(folder, "lora_skip", "mindeye2", one, duration=duration)
    seen = pd.read_csv(model / "history.csv")["n_examples"].tolist()
    run = f"{duration}_lora_skip"
    counted = count_training_trials({"subj07": folder / "trials.csv"}, [run])
    assert seen == [counted["subj07", duration]]
    table = read_trials(folder / "trials.csv")
    chosen = table[in_duration(table, duration)]["split"].value_counts()
    assert seen[0] == chosen["train"] + (chosen["val"] if duration == "1h" else 0)


@pytest.mark.parametrize("peer", ["mindeye2", "lora_skip", "mindbridge"])
def test_a_subject_that_the_base_has_seen_is_not_new(folder: Path, peer: str) -> None:
    base = "mindbridge" if peer == "mindbridge" else "mindeye2"
    with refused("inconsistent-inputs", "subj05", f"{base}/bit.safetensors"):
        adapted(folder, peer, base, subject="subj05")


def test_a_new_subject_is_no_source_of_itself(folder: Path) -> None:
    with refused("inconsistent-inputs", "subj07", "--source-betas"):
        adapted(folder, "mindbridge", "mindbridge", sources=("subj02", "subj07"))


def test_neither_encoder_nor_features_identify(folder: Path) -> None:
    words = ["--subject", "subj07", *images(folder), "--out", str(folder / "none.csv")]
    with refused("invalid-argument"):
        identify_images.main([*words, *told("identify_images")])
