"""Brain-consistent search: what is kept, where rounds start, bytes of any subset, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from tests.refusals import refused

from brainit.core.seeds import seeded_init
from brainit.core.settings import (
    BrainSearchSettings,
    DipSettings,
    EncoderSettings,
    FeatureSettings,
    ReconSettings,
    RunSettings,
    Settings,
)
from brainit.core.shards import write_shards
from brainit.data.fmri import load_subject_fmri
from brainit.data.images import ImageStore, to_uint8
from brainit.data.trials import write_trials
from brainit.features.registry import load_backbone
from brainit.models.baselines.predictions import Predictions, write_predictions
from brainit.models.response_fit import response_fit
from brainit.models.voxel_encoder import VoxelEncoder, save_encoder
from brainit.reconstruction import brain_search
from brainit.reconstruction.brain_search import (
    FIT_COLUMNS,
    ChooserInputs,
    cost_of_image,
    search_batch,
)
from brainit.reconstruction.diffusion import (
    FusedInputs,
    SearchInputs,
    SemanticInputs,
    reconstruct_fused,
    reconstruct_searched,
    reconstruct_semantic,
)
from brainit.reconstruction.parts import Part, part_attributes, write_part
from brainit.reconstruction.predictions import DecodingJob
from brainit.reconstruction.voxel_weights import WeightsJob, accuracy_weights, weigh_voxels

TEST, VAL = np.array([3, 7, 19, 25, 40]), np.array([50, 51, 52, 53, 54, 55])
N_VOXELS, SIDE = 20, 32
SMALL = EncoderSettings(feature_width=6, voxel_width=8, adapter_rank=2)
SETTINGS = Settings(
    run=RunSettings(device="cpu", threads=1),
    features=FeatureSettings(encoder_backbone="demo_vit", generator="demo_unclip", refiner="none"),
    encoder=SMALL,
    dip=DipSettings(chunk=2),
    recon=ReconSettings(batch=2, n_steps=3, start_step=1),
    brain_search=BrainSearchSettings(rounds=2, first_samples=2, later_samples=2, start_step=2),
)


def searched_with(**values: object) -> Settings:
    search = SETTINGS.brain_search.model_copy(update=values)
    return SETTINGS.model_copy(update={"brain_search": search})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a subject's responses and tokens, low-level images, an encoder and its weights."""
    path, generator = tmp_path_factory.mktemp("search"), np.random.default_rng(3)
    pixels = generator.integers(0, 256, (60, SIDE, SIDE, 3), dtype=np.uint8)
    write_shards(path / "stimuli", iter([pixels]))
    nsd_id = np.concatenate([TEST, VAL, TEST])
    table = pd.DataFrame({"trial": np.arange(len(nsd_id)), "nsd_id": nsd_id, "run": 1})
    table["session"], table["trial_in_session"] = 1, table["trial"]
    table["repeat"] = table.groupby("nsd_id").cumcount()
    table["is_shared"] = table["nsd_id"].isin(TEST)
    table["split"] = np.where(table["is_shared"], "test", "val")
    write_trials(path / "trials.csv", table)
    betas = generator.normal(size=(len(nsd_id), N_VOXELS))
    np.save(path / "betas.npy", betas.astype(np.float16))
    with seeded_init(1, "encoder"):
        network = load_backbone("encoder_backbone", "demo_vit")
        encoder = VoxelEncoder(network, SMALL, {"subj02": N_VOXELS})
    about = {"backbone_name": "demo_vit", "pool": "all", "seed": 1}
    save_encoder(path / "encoder.safetensors", encoder, settings=SMALL, **about)
    values = generator.normal(0.5, 0.4, (len(TEST), 64, 96)).astype(np.float16)
    told = {"subject": "subj02", "kind": "semantic", "network": "demo_openclip"}
    write_predictions(path / "semantic", Predictions(TEST, values, told))
    low = pixels[: len(TEST)]
    attributes = part_attributes("subj02", "lowlevel", SETTINGS, {})
    write_part(path / "low.safetensors", Part(TEST, low, attributes))
    weigh_voxels(weights_job(path), SETTINGS)
    return path


def weights_job(path: Path) -> WeightsJob:
    files = (path / "betas.npy", path / "trials.csv", path / "stimuli")
    return WeightsJob("subj02", *files, path / "encoder.safetensors", path / "weights.safetensors")


def choosing(path: Path) -> ChooserInputs:
    return ChooserInputs(
        path / "betas.npy",
        path / "trials.csv",
        path / "encoder.safetensors",
        path / "weights.safetensors",
    )


def found(
    path: Path, settings: Settings = SETTINGS, start: bool = True, shard: str = "0/1"
) -> tuple[Part, pd.DataFrame]:
    job = DecodingJob("subj02", predicted=path / "semantic", shard=shard)
    inputs = SearchInputs(path / "low.safetensors" if start else None)
    return reconstruct_searched(job, inputs, choosing(path), settings)


def test_each_image_keeps_its_best_sample_and_later_rounds_start_from_it() -> None:
    """Samples are their start plus a number that names them; their mean is the fit."""
    added = {(0, 0): [5, 1], (0, 1): [2, 9], (0, 2): [5, 3], (1, 0): [0, 4], (1, 1): [7, 0]}
    added |= {(2, 0): [0, 1], (2, 1): [0, 0]}
    starts: dict[tuple[int, int], list[int] | None] = {}

    def draw(kept: NDArray[np.uint8] | None, number: int, sample: int) -> NDArray[np.uint8]:
        levels = None if kept is None else kept[:, 0, 0, 0].tolist()
        starts[number, sample] = levels
        values = np.array(added[number, sample]) + (0 if levels is None else np.array(levels))
        return np.tile(values[:, None, None, None], (1, 4, 4, 3)).astype(np.uint8)

    def fit(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = pixels.mean(axis=(1, 2, 3))
        return values

    options = BrainSearchSettings(rounds=3, first_samples=3, later_samples=2)
    best, fits, chosen = search_batch(draw, fit, options)
    assert starts[0, 0] is starts[0, 1] is starts[0, 2] is None
    assert starts[1, 0] == starts[1, 1] == [5, 9], "the first of equal fits, of each image its own"
    assert starts[2, 0] == starts[2, 1] == [12, 13]
    assert best[:, 0, 0, 0].tolist() == [12, 14]
    assert fits.shape == (7, 2) and fits.max(axis=0).tolist() == [12, 14]
    assert chosen.tolist() == [4, 5] == fits.argmax(axis=0).tolist()


def test_a_round_without_a_better_sample_keeps_the_image() -> None:
    def draw(kept: NDArray[np.uint8] | None, number: int, sample: int) -> NDArray[np.uint8]:
        return np.full((1, 2, 2, 3), 9 - number, dtype=np.uint8)

    options = BrainSearchSettings(rounds=3, first_samples=1, later_samples=1)
    best, _, chosen = search_batch(draw, lambda pixels: pixels.mean((1, 2, 3)), options)
    assert best.max() == 9 and chosen.tolist() == [0]


@pytest.mark.parametrize("has_start", [True, False])
def test_one_sample_is_the_image_of_the_run_without_search(folder: Path, has_start: bool) -> None:
    part, fits = found(folder, searched_with(rounds=1, first_samples=1), has_start)
    job = DecodingJob("subj02", predicted=folder / "semantic")
    plain = reconstruct_semantic(job, SemanticInputs(), SETTINGS)
    if has_start:
        plain = reconstruct_fused(job, FusedInputs(folder / "low.safetensors"), SETTINGS)
    assert np.array_equal(part.image, plain.image)
    assert part.attributes["kind"] == "fused" and fits["is_best"].all()


def test_the_table_tells_each_sample_and_the_image_kept_has_the_best_fit(folder: Path) -> None:
    part, fits = found(folder)
    assert list(fits.columns) == list(FIT_COLUMNS) and len(fits) == 4 * len(TEST)
    assert np.array_equal(part.nsd_id, TEST)
    assert fits.groupby("nsd_id")["is_best"].sum().eq(1).all()
    best = fits[fits["is_best"]].set_index("nsd_id")["fit"]
    pd.testing.assert_series_equal(best, fits.groupby("nsd_id")["fit"].max())
    fmri = load_subject_fmri(
        "subj02", folder / "betas.npy", folder / "trials.csv", ("test",), "40h", True
    )
    chooser = brain_search.Chooser.of(choosing(folder), "subj02", None, SETTINGS)
    shown = torch.from_numpy(part.image).permute(0, 3, 1, 2).float() / 255
    predicted = chooser.encoder.predict(shown, slice(0, N_VOXELS))
    measured = torch.from_numpy(fmri.betas.astype(np.float32))
    expected = response_fit(measured, predicted, chooser.weights)
    np.testing.assert_allclose(best[TEST], expected, atol=1e-5)
    first = fits[fits["round"] == 0].groupby("nsd_id")["fit"].max()
    assert (best >= first).all() and (best > first).any()


def test_an_image_has_the_same_bytes_in_any_shard(folder: Path, tmp_path: Path) -> None:
    """Five images are three blocks: of four jobs one has none."""
    whole, fits = found(folder)
    pixels = ImageStore(folder / "stimuli").pixels(np.arange(len(TEST)))
    attributes = part_attributes("subj02", "lowlevel", SETTINGS, {})
    sizes, tables = [], []
    for number, rows in enumerate((slice(0, 0), slice(0, 2), slice(2, 4), slice(4, 5))):
        low = tmp_path / f"low_{number}"
        write_part(low, Part(TEST[rows], pixels[rows], attributes))
        job = DecodingJob("subj02", predicted=folder / "semantic", shard=f"{number}/4")
        part, own = reconstruct_searched(job, SearchInputs(low), choosing(folder), SETTINGS)
        assert np.array_equal(part.nsd_id, TEST[rows])
        assert np.array_equal(part.image, whole.image[rows]) or not len(part.image)
        sizes.append(len(part.image))
        tables += [own] if len(own) else []
    assert sizes == [0, 2, 2, 1]
    pd.testing.assert_frame_equal(pd.concat(tables, ignore_index=True), fits, check_exact=True)


@pytest.mark.parametrize("chosen", [[2], [4, 1, 3]], ids=str)
def test_any_images_in_any_order_have_the_bytes_of_the_whole(
    folder: Path, chosen: list[int]
) -> None:
    whole, fits = found(folder)
    chooser = brain_search.Chooser.of(choosing(folder), "subj02", None, SETTINGS)
    generator = load_backbone("generator", "demo_unclip")
    values = np.load(folder / "semantic" / "shard_000.npy").astype(np.float32)[chosen]
    low = ImageStore(folder / "stimuli").pixels(np.array(chosen))
    images = (torch.from_numpy(values), TEST[chosen], low, SETTINGS)
    best, own = brain_search.search_images(generator, chooser, *images)
    assert np.array_equal(best, whole.image[chosen])
    for image in TEST[chosen]:
        ours, theirs = (t[t["nsd_id"] == image].reset_index(drop=True) for t in (own, fits))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def test_samples_of_round_and_number_have_streams_of_their_own() -> None:
    seeds = {brain_search.seed_of_sample(SETTINGS, r, s) for r in range(3) for s in range(3)}
    assert len(seeds) == 9
    assert brain_search.seed_of_sample(SETTINGS, 0, 0) == SETTINGS.run.seed


def test_weights_are_the_accuracy_on_validation_images_alone(folder: Path, tmp_path: Path) -> None:
    """Other test images and test responses change no weight; other validation responses do."""
    chooser = brain_search.Chooser.of(choosing(folder), "subj02", None, SETTINGS)
    fmri = load_subject_fmri(
        "subj02", folder / "betas.npy", folder / "trials.csv", ("val",), "40h", True
    )
    stimuli = ImageStore(folder / "stimuli")
    weights = accuracy_weights(chooser.encoder, fmri, stimuli)
    assert np.array_equal(weights, chooser.weights.numpy())
    predicted = chooser.encoder.predict(stimuli.images(VAL), slice(0, N_VOXELS)).numpy()
    for voxel in range(N_VOXELS):
        r = np.corrcoef(predicted[:, voxel], fmri.betas[:, voxel].astype(float))[0, 1]
        assert abs(weights[voxel] - max(r, 0)) < 1e-4
    pixels = stimuli.pixels(np.arange(60))
    pixels[TEST] = 0
    write_shards(tmp_path / "stimuli", iter([pixels]))
    betas = np.load(folder / "betas.npy")
    for rows, is_same in ((slice(0, 5), True), (slice(5, 11), False)):
        other = betas.copy()
        other[rows] = betas[rows][::-1]
        np.save(tmp_path / "betas.npy", other)
        out = tmp_path / "weights.safetensors"
        job = replace(
            weights_job(folder),
            stimuli=tmp_path / "stimuli",
            betas=tmp_path / "betas.npy",
            out=out,
        )
        weigh_voxels(job, SETTINGS)
        again = brain_search.read_weights(out, "subj02", N_VOXELS, job.encoder)
        assert np.array_equal(again, weights) == is_same


def test_the_cost_counts_samples_and_steps() -> None:
    default = Settings()
    assert cost_of_image(default, True) == "20 samples, 720 steps of the generator"
    assert cost_of_image(default, False) == "20 samples, 832 steps of the generator"
    assert cost_of_image(SETTINGS, True) == "4 samples, 6 steps of the generator"


def test_what_does_not_fit_is_refused_before_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain_search, "sample_images", None)
    with refused("invalid-setting", "brain_search.start_step", "below recon.n_steps, 3"):
        found(folder, searched_with(start_step=3))
    with refused("invalid-argument", "--generator"):
        files = (folder / "betas.npy", folder / "trials.csv", folder / "bit")
        job = DecodingJob("subj02", *files)
        reconstruct_searched(job, SearchInputs(), choosing(folder), SETTINGS)
    chooser = brain_search.Chooser.of(choosing(folder), "subj02", None, SETTINGS)
    with refused("missing-data", "a response", "image 4"):
        chooser.fit_to(np.array([3, 4]))
    betas = np.load(folder / "betas.npy")
    np.save(tmp_path / "betas.npy", betas[:, 1:])
    with refused("inconsistent-inputs", "subj02 with 19 voxels"):
        weigh_voxels(replace(weights_job(folder), betas=tmp_path / "betas.npy"), SETTINGS)
    trials = pd.read_csv(folder / "trials.csv")
    trials.loc[trials["nsd_id"].isin(VAL[2:]), "split"] = "unused"
    write_trials(tmp_path / "trials.csv", trials)
    with refused("missing-data", "at least 3 validation images"):
        weigh_voxels(replace(weights_job(folder), trials=tmp_path / "trials.csv"), SETTINGS)


def test_kept_bytes_pass_the_last_step_unchanged() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    shown = torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 255
    assert np.array_equal(to_uint8(shown), levels)
