"""Training data of the demo's networks: foreign images, blurred conditions."""

import numpy as np
import torch

from brainit.demo.backbones import foreign_images
from brainit.demo.generator import TokenBlur


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
