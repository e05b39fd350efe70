"""Images from ridge's stored predictions: inversion, sampler and shards are those of a decoder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tests.refusals import refused

from brainit.core.settings import DipSettings, FeatureSettings, ReconSettings, RunSettings, Settings
from brainit.data.images import resize_images, to_uint8
from brainit.features.registry import load_backbone
from brainit.models.baselines.predictions import Predictions, write_predictions
from brainit.models.baselines.targets import maps_of
from brainit.reconstruction.diffusion import (
    FusedInputs,
    SemanticInputs,
    reconstruct_fused,
    reconstruct_semantic,
)
from brainit.reconstruction.dip import invert_features
from brainit.reconstruction.lowlevel import reconstruct_lowlevel
from brainit.reconstruction.parts import join_parts, write_part
from brainit.reconstruction.predictions import DecodingJob
from brainit.reconstruction.sampling import sample_images

CPU = torch.device("cpu")
IDS = np.array([3, 7, 19, 25, 40])
SETTINGS = Settings(
    run=RunSettings(device="cpu", threads=1),
    features=FeatureSettings(vgg="demo_vgg_bn", generator="demo_unclip", refiner="none"),
    dip=DipSettings(
        iterations=3, size=32, input_depth=4, width=4, n_scales=1, chunk=2, noise_std=0.01
    ),
    recon=ReconSettings(batch=2, n_steps=2, start_step=1),
)


def written(folder: Path, kind: str, network: str, shape: tuple[int, ...]) -> DecodingJob:
    """Write made-up predictions and return the job that reads them."""
    values = np.random.default_rng(1).normal(0.5, 0.4, (len(IDS), *shape)).astype(np.float16)
    about = {"subject": "subj02", "kind": kind, "network": network}
    write_predictions(folder / kind, Predictions(IDS, values, about))
    return DecodingJob("subj02", predicted=folder / kind)


def values_of(job: DecodingJob) -> torch.Tensor:
    assert job.predicted is not None
    return torch.from_numpy(np.load(job.predicted / "shard_000.npy").astype(np.float32))


def test_predicted_pixels_are_the_lowlevel_images(tmp_path: Path) -> None:
    job = written(tmp_path, "lowlevel", "pixels", (3, 16, 16))
    part = reconstruct_lowlevel(job, SETTINGS)
    assert np.array_equal(part.nsd_id, IDS)
    expected = to_uint8(resize_images(values_of(job).clamp(0, 1), 32))
    assert np.array_equal(part.image, expected)
    few = SETTINGS.model_copy(update={"recon": ReconSettings(batch=2, max_images=3)})
    shards = [reconstruct_lowlevel(replace(job, shard=f"{k}/4"), few) for k in range(4)]
    assert [len(shard.image) for shard in shards] == [0, 2, 0, 1]
    paths = [tmp_path / f"{number}.safetensors" for number in range(4)]
    for path, shard in zip(paths, shards, strict=True):
        write_part(path, shard)
    joined = join_parts(paths, "lowlevel", "subj02")
    assert np.array_equal(joined.image, part.image[:3])
    assert joined.attributes["models"]["ridge_lowlevel"]["file"] == str(tmp_path / "lowlevel")


def test_predicted_maps_are_inverted_as_those_of_a_decoder(tmp_path: Path) -> None:
    vgg = load_backbone("vgg", "demo_vgg_bn")
    job = written(tmp_path, "lowlevel", "demo_vgg_bn", (15_616,))
    wanted = invert_features(maps_of(values_of(job), vgg), IDS.tolist(), vgg, SETTINGS.dip, 42, CPU)
    assert np.array_equal(reconstruct_lowlevel(job, SETTINGS).image, to_uint8(wanted))


def test_tokens_go_through_the_pretrained_generator(tmp_path: Path) -> None:
    job = written(tmp_path, "semantic", "demo_openclip", (64, 96))
    low = reconstruct_lowlevel(written(tmp_path, "lowlevel", "pixels", (3, 16, 16)), SETTINGS)
    write_part(tmp_path / "low.safetensors", low)
    generator = load_backbone("generator", "demo_unclip")
    start = torch.from_numpy(low.image).permute(0, 3, 1, 2).float() / 255
    args = (generator, values_of(job), IDS.tolist(), SETTINGS.recon, 42)
    semantic = reconstruct_semantic(job, SemanticInputs(), SETTINGS)
    assert np.array_equal(semantic.image, to_uint8(sample_images(*args, None)))
    fused = reconstruct_fused(job, FusedInputs(tmp_path / "low.safetensors"), SETTINGS)
    assert np.array_equal(fused.image, to_uint8(sample_images(*args, start)))
    assert sorted(fused.attributes["models"]) == ["generator", "ridge_semantic"]


def test_features_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    job = written(tmp_path, "lowlevel", "vgg16_bn", (5,))
    with refused("wrong-settings", "vgg16_bn", "demo_vgg_bn"):
        reconstruct_lowlevel(job, SETTINGS)
    with refused("wrong-kind", "lowlevel", "semantic"):
        reconstruct_semantic(job, SemanticInputs(), SETTINGS)
    with refused("wrong-kind", "subj01"):
        reconstruct_lowlevel(replace(job, subject="subj01"), SETTINGS)
    with refused("invalid-argument", "--predicted", "--bit"):
        reconstruct_lowlevel(DecodingJob("subj02", betas=tmp_path / "betas.npy"), SETTINGS)
    with refused("missing-file"):
        reconstruct_lowlevel(replace(job, predicted=tmp_path / "gone"), SETTINGS)
