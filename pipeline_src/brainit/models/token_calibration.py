"""Maps from predicted tokens to the scale of true ones (optional; not in the paper).

VGG tokens: an affine map per layer. InfoNCE on raw dot products (D.2) accepts any prediction that
ranks the targets well: at its optimum a prediction is the target's mean weighted by the inverse of
its uncertainty, with another scale and other axes than the target. DIP (3.2) compares features by
L2. Least squares on validation examples gives the affine map between the two, for each layer.

Semantic tokens: mean and deviation of each. The L2 loss (3.2) makes predictions shrink to the mean
as far as the data are noisy, and a generator takes shrunken tokens for images without contrast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from brainit.models.baselines.streaming import Moments

PREFIX = "calibration."
_LEAST_DEVIATION = 1.0e-6


@dataclass(frozen=True)
class _Stored:
    """Tensors that stand in a decoder's file."""

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by their names in a decoder's file."""
        return {f"{PREFIX}{field.name}": getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class TokenCalibration(_Stored):
    """One affine map per layer, for tokens that lie layer after layer as in `VggTokenLayout`."""

    weight: Float[Tensor, "layers width width"]
    bias: Float[Tensor, "layers width"]
    tokens_per_layer: Int[Tensor, "layers"]

    def apply(
        self, tokens: Float[Tensor, "images all_tokens width"]
    ) -> Float[Tensor, "images all_tokens width"]:
        """Return the tokens, each layer's by its own map."""
        weight, bias = self.weight.to(tokens), self.bias.to(tokens)
        layers = torch.split(tokens, self.tokens_per_layer.tolist(), dim=1)
        return torch.cat([part @ weight[k] + bias[k] for k, part in enumerate(layers)], dim=1)


@dataclass(frozen=True)
class DeviationCalibration(_Stored):
    """A factor and an offset for each output, which restore mean and deviation."""

    scale: Float[Tensor, "tokens width"]
    offset: Float[Tensor, "tokens width"]

    def apply(
        self, tokens: Float[Tensor, "images tokens width"]
    ) -> Float[Tensor, "images tokens width"]:
        """Return the tokens, each output with its factor and offset."""
        return tokens * self.scale.to(tokens) + self.offset.to(tokens)


Calibration = TokenCalibration | DeviationCalibration


def take_calibration(state: dict[str, Tensor]) -> Calibration | None:
    """Remove the calibration from the tensors of a decoder's file and return it, or None."""
    names = [name for name in state if name.startswith(PREFIX)]
    found = {name.removeprefix(PREFIX): state.pop(name) for name in names}
    if not found:
        return None
    return DeviationCalibration(**found) if "scale" in found else TokenCalibration(**found)


class DeviationFit:
    """Moments of predicted and true tokens, batch by batch, so that no table is kept."""

    def __init__(self) -> None:
        self._moments: list[Moments] = []

    def add(
        self,
        predicted: Float[Tensor, "images tokens width"],
        true: Float[Tensor, "images tokens width"],
    ) -> None:
        """Add images."""
        self._shape = predicted.shape[1:]
        new = [Moments.of(tokens.flatten(1).cpu().numpy()) for tokens in (predicted, true)]
        if self._moments:
            pairs = zip(self._moments, new, strict=True)
            new = [before.merged(moments) for before, moments in pairs]
        self._moments = new

    def solve(self) -> DeviationCalibration:
        """Return the calibration; an output that is predicted constant stays so, at its mean."""
        predicted, true = self._moments
        scale = np.zeros_like(true.sd)
        np.divide(true.sd, predicted.sd, out=scale, where=predicted.sd > _LEAST_DEVIATION)
        offset = true.mean - predicted.mean * scale
        found = (torch.from_numpy(table).float().view(self._shape) for table in (scale, offset))
        return DeviationCalibration(*found)


class CalibrationFit:
    """Least squares of true on predicted tokens from sums, so that no token table is kept.

    Parameters
    ----------
    tokens_per_layer
        How many tokens each layer has.
    width
        Width of a token.
    ridge
        Share of the mean variance of a predicted channel that is added to each.
    """

    def __init__(self, tokens_per_layer: Sequence[int], width: int, ridge: float = 1.0e-3) -> None:
        self._tokens, self._ridge = list(tokens_per_layer), ridge
        shape = (len(self._tokens), width)
        self._count = [0] * len(self._tokens)
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
        tables = (torch.split(table, self._tokens, dim=1) for table in (predicted, true))
        for k, (ours, theirs) in enumerate(zip(*tables, strict=True)):
            x, y = ours.flatten(0, 1).double().cpu(), theirs.flatten(0, 1).double().cpu()
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
        return TokenCalibration(
            torch.stack(weights).float(), torch.stack(biases).float(), torch.tensor(self._tokens)
        )
