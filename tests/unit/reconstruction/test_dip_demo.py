"""The demo's DIP settings, on the demo's VGG, give scenes back from their true features."""

import numpy as np
import pytest
import torch
import yaml

from brainit.core.settings import DipSettings
from brainit.core.streams import numpy_generator
from brainit.data.images import resize_images
from brainit.features.registry import load_backbone
from brainit.reconstruction.dip import invert_features
from brainit.simulation.scene_drawing import render_scene
from brainit.simulation.scenes import draw_scene


def pixel_correlations(first: torch.Tensor, second: torch.Tensor) -> list[float]:
    pairs = zip(first.flatten(1).numpy(), second.flatten(1).numpy(), strict=True)
    return [float(np.corrcoef(a, b)[0, 1]) for a, b in pairs]


@pytest.mark.slow
def test_four_scenes_come_back_from_their_true_features(repository):
    config = yaml.safe_load((repository / "config" / "demo.yaml").read_text(encoding="utf-8"))
    settings = DipSettings(**config["dip"])
    generator = numpy_generator(7, "dip_test_scenes")
    scenes = np.stack([render_scene(draw_scene(generator), 64) for _ in range(4)])
    images = torch.from_numpy(scenes).permute(0, 3, 1, 2).float() / 255.0
    vgg = load_backbone("vgg", "demo_vgg_bn")
    found = invert_features(vgg(images), list(range(4)), vgg, settings, 42, torch.device("cpu"))
    scores = pixel_correlations(resize_images(found, 64), images)
    assert np.mean(scores) >= 0.85
