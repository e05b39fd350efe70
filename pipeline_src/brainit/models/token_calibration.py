"""Per-layer affine map from predicted VGG tokens to the scale of true ones (optional).

InfoNCE on raw dot products (D.2) is content with any prediction that ranks the targets well: at its
optimum a prediction is the target's mean weighted by the inverse of its uncertainty, of another
scale and other axes than the target. DIP (3.2) compares features by L2. Least squares on validation
examples gives, for each layer, the affine map between the two. Not in the paper; off by default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PREFIX = "calibration."


@dataclass(frozen=True)
class TokenCalibration:
    """One affine map per layer, for tokens that lie layer after layer as in `VggTokenLayout`."""

    weight: Float[Tensor, "layers width width"]
    bias: Float[Tensor, "layers width"]

    def apply(
        self, tokens: Float[Tensor, "images all_tokens width"], layers: Sequence[slice]
    ) -> Float[Tensor, "images all_tokens width"]:
        """Return the tokens, each layer's by its own map."""
        weight, bias = self.weight.to(tokens), self.bias.to(tokens)
        parts = [tokens[:, place] @ weight[k] + bias[k] for k, place in enumerate(layers)]
        return torch.cat(parts, dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by the names under which a BIT's file keeps them."""
        return {f"{PREFIX}weight": self.weight, f"{PREFIX}bias": self.bias}


def take_calibration(state: dict[str, Tensor]) -> TokenCalibration | None:
    """Take the calibration out of a BIT file's tensors; None where there is none."""
    weight, bias = (state.pop(f"{PREFIX}{name}", None) for name in ("weight", "bias"))
    return None if weight is None or bias is None else TokenCalibration(weight, bias)


class CalibrationFit:
    """Least squares of true on predicted tokens from sums, so that no token table is kept.

    Parameters
    ----------
    layers
        Places of the layers among all tokens.
    width
        Width of a token.
    ridge
        Share of the mean variance of a predicted channel that is added to each.
    """

    def __init__(self, layers: Sequence[slice], width: int, ridge: float = 1.0e-3) -> None:
        self._layers, self._ridge = list(layers), ridge
        shape = (len(self._layers), width)
        self._count = [0] * len(self._layers)
        self._sums: Mapping[str, Tensor] = {
            "x": torch.zeros(shape, dtype=torch.float64),
            "y": torch.zeros(shape, dtype=torch.float64),
            "xx": torch.zeros((*shape, width), dtype=torch.float64),
            "xy": torch.zeros((*shape, width), dtype=torch.float64),
        }

    def add(
        self,
        predicted: Float[Tensor, "images all_tokens width"],
        true: Float[Tensor, "images all_tokens width"],
    ) -> None:
        """Add images."""
        for k, place in enumerate(self._layers):
            x = predicted[:, place].flatten(0, 1).double().cpu()
            y = true[:, place].flatten(0, 1).double().cpu()
            self._count[k] += len(x)
            self._sums["x"][k] += x.sum(0)
            self._sums["y"][k] += y.sum(0)
            self._sums["xx"][k] += x.T @ x
            self._sums["xy"][k] += x.T @ y

    def solve(self) -> TokenCalibration:
        """Return the calibration."""
        weights, biases = [], []
        for k, count in enumerate(self._count):
            mean_x, mean_y = self._sums["x"][k] / count, self._sums["y"][k] / count
            cov = self._sums["xx"][k] / count - mean_x[:, None] * mean_x
            cross = self._sums["xy"][k] / count - mean_x[:, None] * mean_y
            cov.diagonal().add_(self._ridge * cov.diagonal().mean().clamp_min(1e-12))
            weight = torch.linalg.solve(cov, cross)
            weights.append(weight)
            biases.append(mean_y - mean_x @ weight)
        return TokenCalibration(torch.stack(weights).float(), torch.stack(biases).float())
