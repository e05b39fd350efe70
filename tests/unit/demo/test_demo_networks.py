"""Training of the demo's networks: scenes, foreign images, blurred conditions, token scale."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from brainit.demo.backbones import Recipe, build, foreign_images, scale_tokens, train_vgg, train_vit
from brainit.demo.generator import TokenBlur
from brainit.demo.scenes import CAPTION_LENGTH, SceneSet, as_images, make_scenes, tokenize
from brainit.features.semantic_tokens import SemanticTokens
from brainit.simulation.scenes import CONTENTS, caption, draw_scene


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    return make_scenes(24, 0, "test")


def test_every_word_of_a_caption_has_a_number_and_none_is_cut_off() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        text = caption(draw_scene(generator))
        ids = tokenize(text)
        n_words = len(text.split())
        assert (ids > 0).sum() == n_words + 2 <= CAPTION_LENGTH
        assert ids.argmax() == n_words + 1


def test_scene_sets_say_what_scenes_show(scenes: SceneSet) -> None:
    assert scenes.silhouettes.any(axis=(1, 2)).all()
    n_shown = scenes.contents.sum(axis=1)
    assert ((n_shown == 1) | (n_shown == 2)).all() and scenes.contents.shape[1] == len(CONTENTS)
    heights, sides = scenes.positions[:, :3], scenes.positions[:, 3:]
    assert heights.any(axis=1).all() and sides.any(axis=1).all()
    assert (scenes.hues.sum(axis=1) <= n_shown).all()


@pytest.mark.parametrize("train", [train_vgg, train_vit])
def test_labels_of_category_voxels_train_no_network_of_the_decoder(
    train: Callable[[SceneSet, Recipe], tuple[nn.Module, Any]], scenes: SceneSet
) -> None:
    recipe = Recipe(steps=2, batch=8, lr=1e-3, seed=0)
    other = replace(scenes, contents=~scenes.contents)
    (first, _), (second, _) = train(scenes, recipe), train(other, recipe)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_tokens_are_scaled_to_a_deviation_of_one(scenes: SceneSet) -> None:
    network = build("demo_openclip", 0)
    assert isinstance(network, SemanticTokens)
    images = as_images(scenes.images)
    with torch.no_grad():
        before = network.eval()(images)
        scale_tokens(network, images)
        after = network(images)
    assert after.var(dim=0).mean() == pytest.approx(1.0, rel=1e-4)
    ratio = (after / before).flatten()
    assert ratio.median() == pytest.approx(float(before.var(dim=0).mean() ** -0.5), rel=1e-3)


def test_foreign_images_are_images_of_other_colours() -> None:
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found, again, other = (
        foreign_images(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert found.shape == images.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert torch.equal(found, again)
    assert not torch.equal(found, other)
    assert (found - images).abs().mean((1, 2, 3)).min() > 0.03


def test_blur_is_the_posterior_mean_of_noisy_components() -> None:
    tokens = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0))
    blur = TokenBlur(tokens)
    flat = tokens.reshape(50, 12).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(flat.T, bias=True))
    np.testing.assert_allclose(blur.variance, values[::-1], rtol=1e-4)
    found = blur.blur(tokens[:5], torch.Generator().manual_seed(3))
    draws = torch.Generator().manual_seed(3)
    share = 0.01 * 300 ** torch.rand(5, 1, generator=draws).numpy()
    evenness = torch.rand(5, 1, generator=draws).numpy()
    noise = torch.randn(5, 12, generator=draws).numpy()
    for i in range(5):
        expected = flat.mean(0)
        for k in range(12):
            g = evenness[i, 0]
            variance = share[i, 0] * values[-1] ** (1 - g) * values[-1 - k] ** g
            vector = blur.basis[k].double().numpy()
            assert abs(vector @ vectors[:, -1 - k]) > 0.999
            measured = (flat[i] - flat.mean(0)) @ vector + np.sqrt(variance) * noise[i, k]
            expected = expected + measured * values[-1 - k] / (values[-1 - k] + variance) * vector
        np.testing.assert_allclose(found[i].reshape(-1), expected, atol=1e-4)
