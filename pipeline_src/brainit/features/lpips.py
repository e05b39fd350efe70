"""LPIPS, the learned perceptual distance (Zhang et al. 2018), on AlexNet (paper table T6).

Features at AlexNet's five ReLU outputs are scaled to norm 1 over the channels. Their squared
differences are weighted per channel by a learned head, averaged over positions and summed over
layers:

    d(a, b) = sum_l mean_hw sum_c w_lc (a_lchw - b_lchw)^2

Files: torchvision's AlexNet (`features.*`) and the `lpips` package's heads, version 0.1
(`lin<l>.model.1.weight`), in one dictionary.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainit.features.published_metrics import load_alexnet
from brainit.features.weights_file import REFETCH, load_state

CHANNELS = (64, 192, 384, 256, 256)
RELUS = (1, 4, 7, 9, 11)
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
_TINY = 1.0e-10


class Lpips(nn.Module):
    """Distance between images in [0, 1]; `features` are AlexNet's layers."""

    taps: tuple[str, ...] = ()
    shift: Tensor
    scale: Tensor

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ParameterList(torch.zeros(1, n, 1, 1) for n in CHANNELS)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)

    def forward(
        self,
        first: Float[Tensor, "images 3 height width"],
        second: Float[Tensor, "images 3 height width"],
    ) -> Float[Tensor, "images"]:
        """Return the distance of each pair, >= 0, and 0 for equal images."""
        total = torch.zeros(len(first), device=first.device, dtype=first.dtype)
        pairs = zip(self._units(first), self._units(second), strict=True)
        for head, (units, other_units) in zip(self.heads, pairs, strict=True):
            total = total + ((units - other_units).square() * head).sum(dim=1).mean(dim=(1, 2))
        return total

    def _units(self, images: Tensor) -> list[Tensor]:
        """Return the features at the five taps, scaled to norm 1 over the channels."""
        x = (images * 2 - 1 - self.shift) / self.scale
        units = []
        for number, layer in enumerate(self.features.children()):
            x = layer(x)
            if number in RELUS:
                units.append(x / (x.norm(dim=1, keepdim=True) + _TINY))
        return units


def load_lpips(path: Path, published: dict[str, Tensor]) -> Lpips:
    """Return LPIPS from the parameters of both published files in one dictionary.

    Raises `PipelineError` that lists missing and unknown parameters.
    """
    heads = {name: value for name, value in published.items() if name.startswith("lin")}
    rest = {name: value for name, value in published.items() if name not in heads}
    alexnet = load_alexnet(path, rest).model
    network = Lpips(alexnet.get_submodule("features"))
    state = {f"features.{n}": v for n, v in network.features.state_dict().items()}
    for name, value in heads.items():
        layer = name.removeprefix("lin").removesuffix(".model.1.weight")
        state[f"heads.{layer}" if layer.isdigit() else name] = value
    load_state(path, network, state, assign=True, fix=REFETCH)
    return network
