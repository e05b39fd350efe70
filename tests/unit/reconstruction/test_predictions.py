from collections import defaultdict
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
import torch
from tests.refusals import refused
from tests.small_models import small_bit

from brainit.core.files import sha256_of
from brainit.core.seeds import seeded_init
from brainit.core.settings import (
    BitSettings,
    DipSettings,
    FeatureSettings,
    NsdSettings,
    ReconSettings,
    RunSettings,
    Settings,
    parse_sections,
)
from brainit.data.images import to_uint8
from brainit.features.registry import load_backbone
from brainit.features.vgg import VggTokenLayout, tokens_to_maps
from brainit.models.brain_transformer import load_bit, save_bit
from brainit.models.generator_file import save_generator
from brainit.reconstruction import diffusion, predictions
from brainit.reconstruction.batches import fixed_batches
from brainit.reconstruction.diffusion import (
    FusedInputs,
    SemanticInputs,
    diffusion_images,
    reconstruct_fused,
    reconstruct_semantic,
)
from brainit.reconstruction.dip import invert_features
from brainit.reconstruction.lowlevel import lowlevel_images, reconstruct_lowlevel
from brainit.reconstruction.parts import join_parts, read_part, write_part
from brainit.reconstruction.predictions import (
    DecodingJob,
    load_job_decoder,
    predict_tokens,
    shard_fmri,
)

CPU = torch.device("cpu")
N_VOXELS = 12
TEST_IDS = (40, 7, 19, 3, 25)
SETTINGS = Settings(
    run=RunSettings(device="cpu", threads=1),
    features=FeatureSettings(vgg="demo_vgg_bn", generator="demo_unclip", refiner="none"),
    bit=BitSettings(width=8, n_heads=2, n_blocks=1),
    dip=DipSettings(
        iterations=3, size=32, input_depth=4, width=4, n_scales=1, chunk=2, noise_std=0.01
    ),
    recon=ReconSettings(batch=2, n_steps=2, start_step=1),
)


def write_subject(folder: Path) -> tuple[Path, Path]:
    """Write three trials of each test image, out of order, among training trials."""
    generator = np.random.default_rng(0)
    ids = generator.permutation(np.repeat([*TEST_IDS, 100, 101, 102], 3))
    table = pd.DataFrame({"trial": np.arange(len(ids)), "nsd_id": ids, "session": 1, "run": 1})
    table["trial_in_session"] = table["trial"]
    table["repeat"] = table.groupby("nsd_id").cumcount()
    table["is_shared"] = table["nsd_id"] < 100
    table["split"] = np.where(table["is_shared"], "test", "train")
    table.to_csv(folder / "trials.csv", index=False)
    betas = generator.normal(size=(len(ids), N_VOXELS)).astype(np.float16)
    np.save(folder / "betas.npy", betas)
    return folder / "betas.npy", folder / "trials.csv"


def write_bit(path: Path, kind: str, n_queries: int, out_width: int) -> None:
    """Write a BIT of two subjects; the decoded one comes second."""
    with seeded_init(0, kind):
        model = small_bit(
            torch.arange(N_VOXELS + 5) % 3, 3, n_queries=n_queries, out_width=out_width, width=8
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    subjects = {"subj05": 5, "subj02": N_VOXELS}
    save_bit(path, model, subjects=subjects, kind=kind, settings=SETTINGS.bit, seed=0)


@pytest.fixture
def job(tmp_path) -> DecodingJob:
    betas, trials = write_subject(tmp_path)
    write_bit(tmp_path / "bit.safetensors", "lowlevel", 565, 64)
    (tmp_path / "g").write_text("a generator's file")
    return DecodingJob("subj02", betas, trials, tmp_path / "bit.safetensors", "0/1")


def plain_tokens(job: DecodingJob, average_betas: bool) -> dict[int, torch.Tensor]:
    """Decode image by image, averaging the responses or the tokens, in plain loops."""
    trials = pd.read_csv(job.trials)
    betas = np.load(job.betas).astype(np.float64)
    model = load_bit(job.bit).model.double()
    tokens = {}
    for nsd_id in TEST_IDS:
        rows = torch.from_numpy(betas[trials.index[trials["nsd_id"] == nsd_id]])
        voxels = slice(5, 5 + N_VOXELS)
        with torch.no_grad():
            if average_betas:
                mean = (rows[0] + rows[1] + rows[2]) / 3
                tokens[nsd_id] = model(mean[None], voxels)[0]
            else:
                outputs = [model(row[None], voxels)[0] for row in rows]
                tokens[nsd_id] = (outputs[0] + outputs[1] + outputs[2]) / 3
    return tokens


@pytest.mark.parametrize("average", [True, False])
def test_tokens_are_those_of_averaged_trials_or_averages_over_trials(job, average):
    nsd = NsdSettings(average_test_repeats=average)
    settings = SETTINGS.model_copy(update={"nsd": nsd})
    fmri, images = shard_fmri(job, settings)
    assert images.tolist() == sorted(TEST_IDS)
    bit = load_job_decoder(job, "lowlevel", fmri.n_voxels, settings)
    tokens = predict_tokens(bit, fmri, images, 2, CPU)
    wanted = plain_tokens(job, average)
    for row, nsd_id in enumerate(images):
        error = (tokens[row] - wanted[int(nsd_id)]).abs().max()
        assert error < 2e-3 * wanted[int(nsd_id)].abs().max()
    other = plain_tokens(job, not average)
    assert (tokens[0] - other[int(images[0])]).abs().max() > 1e-2


def test_unequal_responses_are_averaged_image_by_image(job):
    """Two, one and none are three rows of three images, which are not one row per image."""
    settings = SETTINGS.model_copy(update={"nsd": NsdSettings(average_test_repeats=False)})
    fmri, _ = shard_fmri(job, settings)
    bit = load_job_decoder(job, "lowlevel", fmri.n_voxels, settings)
    rows = np.concatenate([np.flatnonzero(fmri.nsd_id == 3)[:2], np.flatnonzero(fmri.nsd_id == 7)])
    few = replace(fmri, betas=fmri.betas[rows[:3]], nsd_id=fmri.nsd_id[rows[:3]])
    tokens = predict_tokens(bit, few, np.array([3, 7]), 2, CPU)
    one = np.array([1])
    alone = [replace(few, betas=few.betas[[k]], nsd_id=one) for k in range(3)]
    single = [predict_tokens(bit, fmri, one, 2, CPU) for fmri in alone]
    assert torch.equal(tokens[0], torch.stack([single[0][0], single[1][0]]).mean(0))
    assert torch.equal(tokens[1], single[2][0])
    with refused("missing-data", "19"):
        predict_tokens(bit, few, np.array([3, 7, 19]), 2, CPU)


def test_one_batch_of_images_is_held_at_a_time(job, monkeypatch):
    """Their responses are at most the batch of images times the trials of one image."""
    settings = SETTINGS.model_copy(update={"nsd": NsdSettings(average_test_repeats=False)})
    fmri, images = shard_fmri(job, settings)
    bit = load_job_decoder(job, "lowlevel", fmri.n_voxels, settings)
    held, real = [], predictions._tokens_of_rows

    def counted(*args):
        held.append(len(args[2]))
        return real(*args)

    whole = predict_tokens(bit, fmri, images, len(images), CPU)
    monkeypatch.setattr(predictions, "_tokens_of_rows", counted)
    tokens = predict_tokens(bit, fmri, images, 2, CPU)
    assert held == [6, 6, 3]
    # Another batch size sums in another order; how much that shows depends on the CPU.
    torch.testing.assert_close(tokens, whole, rtol=1e-4, atol=1e-4)


def test_shards_and_max_images_choose_whole_blocks(job):
    settings = SETTINGS.model_copy(update={"recon": ReconSettings(batch=2, max_images=3)})
    chosen = []
    for shard in ("0/2", "1/2"):
        part = DecodingJob(job.subject, job.betas, job.trials, job.bit, shard)
        chosen.append(shard_fmri(part, settings)[1].tolist())
    assert chosen == [[3, 7], [19]]


def test_lowlevel_images_are_the_inverted_predictions_whatever_the_shards(job):
    whole = reconstruct_lowlevel(job, SETTINGS)
    vgg = load_backbone("vgg", "demo_vgg_bn")
    fmri, images = shard_fmri(job, SETTINGS)
    bit = load_job_decoder(job, "lowlevel", fmri.n_voxels, SETTINGS)
    tokens = predict_tokens(bit, fmri, images, 2, CPU)
    maps = tokens_to_maps(tokens, VggTokenLayout(vgg.channels, vgg.map_sizes))
    wanted = invert_features(maps, images.tolist(), vgg, SETTINGS.dip, 42, CPU)
    assert np.array_equal(whole.nsd_id, images)
    assert np.array_equal(whole.image, to_uint8(wanted))
    shards = [
        reconstruct_lowlevel(
            DecodingJob(job.subject, job.betas, job.trials, job.bit, f"{k}/4"), SETTINGS
        )
        for k in range(4)
    ]
    assert np.array_equal(np.concatenate([part.image for part in shards]), whole.image)
    assert min(len(part.image) for part in shards) == 0
    assert whole.attributes["kind"] == "lowlevel"


def sharded(job: DecodingJob, n_shards: int, folder: Path) -> dict[str, bytes]:
    """Return the joined files of each kind, made by `n_shards` jobs of each."""
    kinds = ("lowlevel", "semantic", "fused")
    parts = {kind: [folder / f"{kind}_{k}_{n_shards}" for k in range(n_shards)] for kind in kinds}
    for k in range(n_shards):
        own = replace(job, shard=f"{k}/{n_shards}")
        guided = replace(own, bit=folder / "semantic.safetensors")
        low, generator = parts["lowlevel"][k], folder / "generator.safetensors"
        write_part(low, reconstruct_lowlevel(own, SETTINGS))
        write_part(
            parts["semantic"][k], reconstruct_semantic(guided, SemanticInputs(generator), SETTINGS)
        )
        write_part(
            parts["fused"][k], reconstruct_fused(guided, FusedInputs(low, generator), SETTINGS)
        )
    for kind in kinds:
        write_part(folder / kind, join_parts(parts[kind], kind, job.subject))
    return {kind: (folder / kind).read_bytes() for kind in kinds}


def test_fixed_batches_cover_each_row_once_in_one_size() -> None:
    for n_rows, size in ((0, 3), (1, 3), (3, 3), (7, 3), (8, 1)):
        batches = fixed_batches(n_rows, size)
        assert {len(batch.rows) for batch in batches} <= {size}
        kept = [row for batch in batches for row in batch.rows[: batch.n_kept].tolist()]
        assert kept == list(range(n_rows))
        assert all(set(b.rows[b.n_kept :]) <= {b.rows[b.n_kept - 1]} for b in batches)


def test_reconstructions_are_the_same_bytes_by_one_three_and_seven_jobs(job, tmp_path):
    """Five images are three blocks, by the demo's own networks; of seven jobs four have none."""
    write_bit(tmp_path / "semantic.safetensors", "semantic", 64, 96)
    generator = load_backbone("generator", "demo_unclip")
    save_generator(tmp_path / "generator.safetensors", generator, name="demo_unclip", seed=0)
    whole = sharded(job, 1, tmp_path)
    images = [read_part(tmp_path / kind, kind, job.subject).image for kind in whole]
    assert [len(image) for image in images] == [5, 5, 5]
    assert min(image.std() for image in images) > 1
    assert not np.array_equal(images[1], images[2])
    for n_shards in (3, 7):
        assert sharded(job, n_shards, tmp_path) == whole, n_shards


@pytest.mark.parametrize("chosen", [[2], [4, 1, 3], [3, 2, 1, 0, 4]], ids=str)
def test_any_images_in_any_order_have_the_bytes_of_the_whole_run(job, tmp_path, chosen):
    """Chunks of four and batches of three, so that all five images end in a partial one."""
    write_bit(tmp_path / "semantic.safetensors", "semantic", 64, 96)
    settings = SETTINGS.model_copy(
        update={
            "dip": SETTINGS.dip.model_copy(update={"chunk": 4, "iterations": 12}),
            "recon": SETTINGS.recon.model_copy(update={"batch": 3}),
        }
    )
    fmri, images = shard_fmri(job, settings)
    low = load_job_decoder(job, "lowlevel", fmri.n_voxels, settings)
    guided = replace(job, bit=tmp_path / "semantic.safetensors")
    semantic = load_job_decoder(guided, "semantic", fmri.n_voxels, settings)
    vgg, generator = (
        load_backbone("vgg", "demo_vgg_bn"),
        load_backbone("generator", "demo_unclip"),
    )

    def made(ids):
        start = lowlevel_images(low, vgg, fmri, ids, settings)
        fused = diffusion_images(semantic, generator, fmri, ids, settings, start)
        alone = diffusion_images(semantic, generator, fmri, ids, settings, None)
        return start, fused.numpy(), alone.numpy()

    for whole, part in zip(made(images), made(images[chosen]), strict=True):
        np.testing.assert_array_equal(part, whole[chosen])


class FlatGenerator(torch.nn.Module):
    """Predicts no noise at all, so that the start decides."""

    n_tokens, token_width, image_size, latent_shape = 4, 6, 8, (3, 8, 8)
    alphas_cumprod = torch.linspace(0.999, 0.005, 1000)
    asked_for: torch.dtype | None = None

    def use_precision(self, dtype):
        self.asked_for = dtype

    def unconditional_tokens(self):
        return torch.zeros(1, 4, 6)

    def encode(self, images):
        return torch.nn.functional.interpolate(images, (8, 8), mode="area")

    def decode(self, latents):
        return latents

    def predict_noise(self, noisy, timesteps, tokens):
        return torch.zeros_like(noisy)


def test_fused_images_start_from_the_low_level_shard(job, tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion, "load_generator", lambda *_: FlatGenerator())
    write_bit(tmp_path / "semantic.safetensors", "semantic", 4, 6)
    lowlevel = reconstruct_lowlevel(job, SETTINGS)
    write_part(tmp_path / "low.safetensors", lowlevel)
    job = DecodingJob(job.subject, job.betas, job.trials, tmp_path / "semantic.safetensors", "0/1")
    fused = reconstruct_fused(
        job, FusedInputs(tmp_path / "low.safetensors", tmp_path / "g"), SETTINGS
    )
    assert fused.attributes["kind"] == "fused"
    digests = {role: made["sha256"] for role, made in fused.attributes["models"].items()}
    expected = {"bit_semantic": job.bit, "generator": tmp_path / "g"}
    assert digests == {role: sha256_of(path) for role, path in expected.items()}
    with refused("missing-file", "the generator of the run", "gone"):
        reconstruct_semantic(job, SemanticInputs(tmp_path / "gone"), SETTINGS)
    assert fused.nsd_id.tolist() == sorted(TEST_IDS)
    bare = reconstruct_semantic(job, SemanticInputs(tmp_path / "g"), SETTINGS)
    assert bare.attributes["kind"] == "semantic"
    assert not np.array_equal(bare.image, fused.image)
    with refused("inconsistent-inputs", "2 test images"):
        one = DecodingJob(job.subject, job.betas, job.trials, job.bit, "0/2")
        two = SETTINGS.model_copy(update={"dip": DipSettings(chunk=2, size=32)})
        reconstruct_fused(one, FusedInputs(tmp_path / "low.safetensors", tmp_path / "g"), two)


def test_the_refiner_comes_last_and_its_weights_are_asked_for_first(job, tmp_path, monkeypatch):
    features = SETTINGS.features.model_copy(update={"refiner": "zavychromaxl_v30"})
    settings = SETTINGS.model_copy(update={"features": features})
    monkeypatch.setattr(diffusion, "load_generator", lambda *_: FlatGenerator())
    write_bit(tmp_path / "semantic.safetensors", "semantic", 4, 6)
    job = DecodingJob(job.subject, job.betas, job.trials, tmp_path / "semantic.safetensors", "0/1")
    bare = reconstruct_semantic(job, SemanticInputs(tmp_path / "g"), SETTINGS)
    with refused("missing-file", "brainit weights fetch zavychromaxl"):
        reconstruct_semantic(job, SemanticInputs(tmp_path / "g"), settings)
    monkeypatch.setattr(diffusion, "require_weights", lambda *_: None)
    refiner = FlatGenerator()
    monkeypatch.setattr(diffusion, "load_backbone", lambda *_: refiner)
    monkeypatch.setattr(diffusion, "refine_images", lambda _, images, *rest: 1 - images)
    refined = reconstruct_semantic(job, SemanticInputs(tmp_path / "g"), settings)
    assert np.abs(refined.image.astype(int) - (255 - bare.image.astype(int))).max() <= 1
    assert bare.image.std() > 1
    assert bare.unrefined is None and refined.unrefined is None
    assert refiner.asked_for == torch.float32


def test_fused_images_are_kept_as_they_were_before_the_refiner(job, tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion, "load_generator", lambda *_: FlatGenerator())
    monkeypatch.setattr(diffusion, "require_weights", lambda *_: None)
    monkeypatch.setattr(diffusion, "load_backbone", lambda *_: FlatGenerator())
    monkeypatch.setattr(diffusion, "refine_images", lambda _, images, *rest: 1 - images)
    write_bit(tmp_path / "semantic.safetensors", "semantic", 4, 6)
    write_part(tmp_path / "low.safetensors", reconstruct_lowlevel(job, SETTINGS))
    job = replace(job, bit=tmp_path / "semantic.safetensors")
    features = SETTINGS.features.model_copy(update={"refiner": "zavychromaxl_v30"})
    found = {
        name: reconstruct_fused(
            job, FusedInputs(tmp_path / "low.safetensors", tmp_path / "g"), settings
        )
        for name, settings in (
            ("without", SETTINGS),
            ("with", SETTINGS.model_copy(update={"features": features})),
        )
    }
    assert found["without"].unrefined is None
    assert np.array_equal(found["with"].unrefined, found["without"].image)
    assert not np.array_equal(found["with"].image, found["without"].image)


def test_sampling_runs_in_the_precision_of_the_settings(job, tmp_path, monkeypatch):
    generator = FlatGenerator()
    monkeypatch.setattr(diffusion, "load_generator", lambda *_: generator)
    write_bit(tmp_path / "semantic.safetensors", "semantic", 4, 6)
    job = DecodingJob(job.subject, job.betas, job.trials, tmp_path / "semantic.safetensors", "0/1")
    for name, dtype in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
        features = SETTINGS.features.model_copy(update={"precision": name})
        part = reconstruct_semantic(
            job,
            SemanticInputs(tmp_path / "g"),
            SETTINGS.model_copy(update={"features": features}),
        )
        assert generator.asked_for == dtype
        assert part.attributes["settings"]["features"]["precision"] == name


def test_bits_that_do_not_fit_are_refused(job, tmp_path):
    with refused("wrong-settings", "semantic", "lowlevel"):
        load_job_decoder(job, "semantic", N_VOXELS, SETTINGS)
    with refused("inconsistent-inputs", "subj02 with 13 voxels"):
        load_job_decoder(job, "lowlevel", 13, SETTINGS)
    other = DecodingJob("subj07", job.betas, job.trials, job.bit, "0/1")
    with refused("inconsistent-inputs", "subj07 with 12 voxels", "'subj02': 12"):
        load_job_decoder(other, "lowlevel", N_VOXELS, SETTINGS)
    wider = SETTINGS.model_copy(update={"bit": BitSettings(width=16, n_heads=2, n_blocks=1)})
    with refused("wrong-settings", "'width': 16", "'width': 8"):
        load_job_decoder(job, "lowlevel", N_VOXELS, wider)


@pytest.mark.parametrize("kind", ["lowlevel", "semantic", "fused", "searched"])
def test_steps_that_make_images_use_one_thread_whatever_the_settings_say(kind, monkeypatch):
    step = import_module(f"brainit.steps.reconstruct_{kind}")
    seen = []

    class Parsed(defaultdict):
        settings = parse_sections({"run": {"threads": 8}})

    def make(*_):
        seen.append(torch.get_num_threads())
        return MagicMock(), MagicMock()

    monkeypatch.setattr(step, "parse_step", lambda *_: Parsed(MagicMock))
    monkeypatch.setattr(step, f"reconstruct_{kind}", make)
    for name in ("write_part", "write_table"):
        monkeypatch.setattr(step, name, lambda *_: None, raising=False)
    torch.set_num_threads(2)
    step.main([])
    assert seen == [1]
