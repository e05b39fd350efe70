"""Half precision of the frozen networks: it is used, and changes results only slightly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.benchmarks.small_sdxl import SMALL_SDXL
from torch import nn

from brainit.core.device import frozen_precision
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.fmri import SubjectFmri
from brainit.data.images import ImageStore
from brainit.features.generator import Generator
from brainit.features.refiner import SdxlRefiner
from brainit.features.registry import load_backbone
from brainit.features.semantic_tokens import SemanticTokens
from brainit.features.unclip import build_parts
from brainit.steps import extract_features
from brainit.training.examples import BatchImages, ExampleSource
from brainit.training.inputs import TokenFiles
from brainit.training.targets import SemanticTargets, targets_of

HALVES = [(torch.bfloat16, 0.03), (torch.float16, 0.004)]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
SIZE = replace(SMALL_SDXL, channels=(16, 32, 32), transformers=(1, 1, 2), n_tokens=4)


def settings_with(precision: str) -> Settings:
    features = {"precision": precision, "semantic_tokens": "demo_openclip"}
    return parse_sections({"run": {"device": "cpu", "threads": 1}, "features": features})


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def types_of(network: nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in network.parameters()}


def noise_of(generator: Generator) -> torch.Tensor:
    draws = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 4, 4, 4, generator=draws)
    moments = torch.tensor([700, 40])
    if isinstance(generator, SdxlRefiner):
        return generator.predict_guided_pair(latents, moments)
    tokens = torch.randn(2, 4, 12, generator=draws)
    return generator.predict_noise(latents, moments, tokens)


def generator_or_refiner(is_refiner: bool) -> Generator:
    size = SIZE
    if is_refiner:
        size = replace(SIZE, pooled_width=6, n_sizes=6)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        unet, vae = build_parts(size)
        texts, pooled = torch.randn(2, 4, 12), torch.randn(2, 6)
    parts = {"unet": unet.eval(), "vae": vae.eval(), "image_size": 32}
    if is_refiner:
        return SdxlRefiner(**parts, texts=texts, pooled=pooled)
    return Generator(**parts, n_tokens=4, token_width=12, size_condition=(32, 32, 0, 0))


def test_precision_is_named_or_follows_the_device() -> None:
    assert frozen_precision(settings_with("auto"), CPU) == torch.float32
    assert frozen_precision(settings_with("auto"), GPU) == torch.bfloat16
    for name in ("float32", "bfloat16", "float16"):
        for device in (CPU, GPU):
            assert frozen_precision(settings_with(name), device) == getattr(torch, name)
    with pytest.raises(PipelineError) as error:
        settings_with("int8")
    assert error.value.code == "invalid-setting"
    assert "features.precision" in error.value.found and "int8" in error.value.found


@pytest.mark.parametrize(("dtype", "bound"), HALVES)
def test_tokens_in_half_precision(dtype: torch.dtype, bound: float) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = load_backbone("semantic_tokens", "demo_openclip")
    assert isinstance(network, SemanticTokens)
    with torch.inference_mode():
        wanted = network(images)
        network.use_precision(dtype)
        found = network(images)
    assert types_of(network.clip.visual) == {dtype}
    assert network.prepare(images).dtype == found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert 0 < relative_error(found, wanted) < bound


@pytest.mark.parametrize("is_refiner", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), HALVES)
def test_noise_prediction_in_half_precision(
    dtype: torch.dtype, bound: float, is_refiner: bool
) -> None:
    generator = generator_or_refiner(is_refiner)
    with torch.inference_mode():
        wanted = noise_of(generator)
        generator.use_precision(dtype)
        found = noise_of(generator)
    assert types_of(generator.unet) == {dtype}
    assert types_of(generator.vae) == {torch.float32}
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert 0 < relative_error(found, wanted) < bound


@pytest.mark.parametrize(("name", "dtype"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_targets_of_training_are_computed_as_the_settings_say(
    name: str, dtype: str, tmp_path: Path
) -> None:
    write_shards(tmp_path / "stimuli", iter([np.zeros((2, 8, 8, 3), dtype=np.uint8)]))
    images = BatchImages(ImageStore(tmp_path / "stimuli"), None)
    targets = targets_of("semantic", images, TokenFiles(), None, settings_with(name), CPU)
    network = targets.network
    assert isinstance(network, SemanticTokens)
    assert types_of(network.clip.visual) == {getattr(torch, dtype)}


def test_targets_heed_their_setting_and_not_the_autocast_of_the_training(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3)).astype(np.uint8)
    write_shards(tmp_path / "stimuli", iter([pixels]))
    images = BatchImages(ImageStore(tmp_path / "stimuli"), None)
    own = SubjectFmri("subj01", np.zeros((3, 4), np.float16), np.arange(3), np.ones(3, np.int64))
    source = ExampleSource({"subj01": own}, {}, {"subj01": slice(0, 4)})
    batch = next(source.epoch(3, torch.Generator().manual_seed(0), None))
    found = {}
    for name in ("float32", "bfloat16"):
        targets = targets_of("semantic", images, TokenFiles(), None, settings_with(name), CPU)
        assert isinstance(targets, SemanticTargets)
        plain = targets.of(batch, CPU)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found[name] = targets.of(batch, CPU)
        assert torch.equal(found[name], plain)
    assert 0 < relative_error(found["bfloat16"], found["float32"]) < 0.03


def test_cached_tokens_are_computed_as_the_settings_say(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3)).astype(np.uint8)
    write_shards(tmp_path / "images", iter([pixels]))
    found = {}
    for name in ("auto", "float32", "bfloat16"):
        out = tmp_path / name
        words = ["--images", str(tmp_path / "images"), "--tokens", str(out)]
        extract_features.main([*words, "--settings", settings_with(name).model_dump_json()])
        rows = ShardedArray(out).rows(np.arange(3))
        found[name] = torch.from_numpy(rows.astype(np.float32))
    assert torch.equal(found["auto"], found["float32"])
    assert 0 < relative_error(found["bfloat16"], found["float32"]) < 0.03
