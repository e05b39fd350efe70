"""Cached tokens of 8 bits: their error, their form, and the refusal of others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.refusals import refused

from brainit.core.seeds import torch_generator
from brainit.core.settings import FeatureSettings, Settings
from brainit.core.shards import ShardedArray, write_shards
from brainit.data.images import ImageStore
from brainit.features.token_cache import TokenCache, as_bytes, tokens_on
from brainit.steps import extract_features
from brainit.training.examples import BatchImages
from brainit.training.targets import SemanticTargets

CPU = torch.device("cpu")


def test_a_number_is_off_by_at_most_half_of_its_tokens_scale() -> None:
    tokens = torch.randn(3, 5, 7, generator=torch_generator(1, "tokens"))
    tokens[1, 2] *= 1e4
    tokens[2, 0] = 0.0
    found = tokens_on(as_bytes(tokens), CPU)
    assert found.dtype == torch.float32 and found.shape == tokens.shape
    for image in range(3):
        for token in range(5):
            largest = max(abs(float(x)) for x in tokens[image, token])
            for was, now in zip(tokens[image, token], found[image, token], strict=True):
                assert abs(float(was) - float(now)) <= largest / 127 / 2 * (1 + 1e-5)
                if abs(float(was)) == largest:
                    assert float(now) == pytest.approx(float(was), rel=1e-6)


def test_the_step_keeps_tokens_at_half_the_size(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3)).astype(np.uint8)
    write_shards(tmp_path / "images", iter([pixels]))
    found = {}
    for n_bits in (16, 8):
        out = tmp_path / str(n_bits)
        features = FeatureSettings(semantic_tokens="demo_openclip", token_bits=n_bits)
        words = ["--images", str(tmp_path / "images"), "--tokens", str(out)]
        settings = Settings(features=features).model_dump_json()
        extract_features.main([*words, "--settings", settings])
        cache = TokenCache(ShardedArray(out))
        rows = torch.empty(3, *cache.row_shape, dtype=cache.dtype)
        cache.rows_into(np.array([2, 0, 1]), rows.numpy(), np.array([2, 0, 1]))
        found[n_bits] = tokens_on(rows, CPU)
        assert tuple(found[n_bits].shape[1:]) == cache.token_shape
    apart = (found[8] - found[16]).norm() / found[16].norm()
    assert 0 < apart < 0.01
    sizes = [ShardedArray(tmp_path / name).rows(np.array([0])).nbytes for name in ("16", "8")]
    assert sizes[1] / sizes[0] == pytest.approx(0.5 * (1 + 4 / found[8].shape[-1]))


def test_other_shards_are_no_cache(tmp_path: Path) -> None:
    for name, dtype in (("a", np.float32), ("b", np.float16), ("c", np.int8)):
        write_shards(tmp_path / name, iter([np.zeros((9, 4, 8), dtype)]))
    with refused("wrong-kind", "float16", "int8", "float32"):
        TokenCache(ShardedArray(tmp_path / "a"))
    write_shards(tmp_path / "images", iter([np.zeros((9, 8, 8, 3), np.uint8)]))
    images = BatchImages(ImageStore(tmp_path / "images"), None)
    caches = {kind: ShardedArray(tmp_path / name) for kind, name in ((False, "b"), (True, "c"))}
    with refused("inconsistent-inputs", "float16", "int8"):
        SemanticTargets(images, None, caches)
