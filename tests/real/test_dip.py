"""DIP from true features of real photographs, on the real VGG16; pictures are kept for a look."""

import logging
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from brainit.core.settings import DipSettings
from brainit.reconstruction.dip import invert_features

logger = logging.getLogger(__name__)

SIDE = 64
SETTINGS = DipSettings(
    iterations=70, lr=1e-2, size=SIDE, input_depth=32, width=32, ema=0.9, noise_std=0.01, chunk=4
)
BGR_MEAN = (103.939, 116.779, 123.68)
CONVOLUTIONS = (2, 2, 3, 3, 3)


class CaffeVgg16(nn.Module):
    """Oxford's VGG16 without batch norm: BGR input in 0..255 minus the mean; taps before pooling.

    The maps of each layer are divided by their own root mean square on the photographs, so that the
    layers weigh alike, as they nearly do with batch norm.
    """

    def __init__(self, weights, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.weights = {name: torch.from_numpy(weights[name]).float() for name in weights.files}
        self.mean = torch.tensor(BGR_MEAN).view(3, 1, 1)
        self.scales = [1.0] * 5

    def forward(self, images):
        x = images.flip(1) * 255.0 - self.mean
        maps = []
        for stage, n_convolutions in enumerate(CONVOLUTIONS, start=1):
            if stage > 1:
                x = nn.functional.max_pool2d(x, 2)
            for number in range(1, n_convolutions + 1):
                name = f"conv{stage}_{number}"
                weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
                x = torch.relu(nn.functional.conv2d(x, weight, bias, padding=1))
            maps.append(x * self.scales[stage - 1])
        return maps


def photographs(folder, n_images: int) -> torch.Tensor:
    images = []
    for path in sorted(folder.glob("*.jpg"))[:n_images]:
        picture = Image.open(path).convert("RGB")
        side = min(picture.size)
        left, top = ((length - side) // 2 for length in picture.size)
        square = picture.crop((left, top, left + side, top + side))
        images.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255.0


@pytest.mark.real
def test_true_features_of_photographs_give_them_back(shared_dir, tmp_path, caplog):
    weights = np.load(shared_dir / "data" / "vgg16" / "vgg16_conv_imagenet_caffe_bgr_fp16.npz")
    vgg = CaffeVgg16(weights, SIDE)
    images = photographs(shared_dir / "data" / "coco256" / "val2017", 4)
    vgg.scales = [float(maps.square().mean() ** -0.5) for maps in vgg(images)]
    started = time.perf_counter()
    found = invert_features(vgg(images), [0, 1, 2, 3], vgg, SETTINGS, 42, torch.device("cpu"))
    seconds = time.perf_counter() - started
    pairs = zip(found.flatten(1), images.flatten(1), strict=True)
    scores = [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]
    sheet = torch.cat([images, found], 2).permute(2, 0, 3, 1).reshape(2 * SIDE, -1, 3)
    path = tmp_path / "photographs_over_inversions.png"
    pixels = (sheet * 255).round().numpy().astype(np.uint8)
    Image.fromarray(pixels).resize((4 * 4 * SIDE, 2 * 4 * SIDE)).save(path)
    with caplog.at_level(logging.INFO):
        logger.info("PixCorr %s in %.0f s; pictures at %s", scores, seconds, path)
    assert np.mean(scores) >= 0.8
