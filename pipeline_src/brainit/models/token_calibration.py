"""Per-layer affine map from predicted VGG tokens to the scale of true ones (optional).

InfoNCE on raw dot products (D.2) accepts any prediction that ranks the targets well: at its optimum
a prediction is the target's mean weighted by the inverse of its uncertainty, with another scale and
other axes than the target. DIP (3.2) compares features by L2. Least squares on validation examples
gives the affine map between the two, for each layer. Not in the paper; off by default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

PREFIX = "calibration."


@dataclass(frozen=True)
class TokenCalibration:
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

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by their names in a decoder's file."""
        return {f"{PREFIX}{field.name}": getattr(self, field.name) for field in fields(self)}


def take_calibration(state: dict[str, Tensor]) -> TokenCalibration | None:
    """Remove the calibration from the tensors of a decoder's file and return it, or None."""
    calibration = {name: state.pop(name) for name in list(state) if name.startswith(PREFIX)}
    if not calibration:
        return None
    return TokenCalibration(
        **{name.removeprefix(PREFIX): value for name, value in calibration.items()}
    )


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
