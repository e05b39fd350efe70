"""The paper's metrics as functions of arrays (section 5.2): one number per image.

Images are uint8 (images, height, width, rgb) of any size. Both are resized to the sizes of
`evaluation`, by default the paper's; the demo scores at smaller sizes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.settings import EvaluationSettings, RunSettings, Settings
from brainit.evaluation.metrics.features import load_metric_networks
from brainit.evaluation.metrics.pixels import (
    pixel_correlations,
    structural_similarities,
    to_evaluation_size,
)
from brainit.evaluation.metrics.two_way import two_way_scores
from brainit.evaluation.score import as_images, score_images

PAPER = EvaluationSettings()
Pixels = UInt8[np.ndarray, "images height width rgb"]
Seen = UInt8[np.ndarray, "seen_images seen_height seen_width rgb"]


def pix_corr(
    recons: Pixels, seen: Seen, evaluation: EvaluationSettings = PAPER
) -> NDArray[np.float64]:
    """Return PixCorr of each image, in [-1, 1]."""
    return pixel_correlations(*_sized(recons, seen, evaluation)).numpy()


def ssim(recons: Pixels, seen: Seen, evaluation: EvaluationSettings = PAPER) -> NDArray[np.float64]:
    """Return SSIM of each image on grey values, at most 1."""
    return structural_similarities(*_sized(recons, seen, evaluation)).numpy()


def two_way(
    recons: Float[np.ndarray, "images features"], seen: Float[np.ndarray, "seen_images features"]
) -> NDArray[np.float64]:
    """Return two-way identification of each image in percent, from your own features."""
    _require_pairs(len(recons), len(seen), 2)
    tables = [torch.from_numpy(np.asarray(rows, dtype=np.float32)) for rows in (recons, seen)]
    return two_way_scores(*tables).numpy()


def score(
    recons: Pixels,
    seen: Seen,
    networks: Sequence[str] = (),
    weights_dir: Path | None = None,
    evaluation: EvaluationSettings = PAPER,
) -> pd.DataFrame:
    """Return every metric, one row per image; `networks` are metric networks of the registry."""
    _require_pairs(len(recons), len(seen), 2)
    device = torch.device("cpu")
    loaded = load_metric_networks(networks, weights_dir, device)
    settings = Settings(run=RunSettings(device="cpu"), evaluation=evaluation)
    return score_images(as_images(recons), as_images(seen), loaded, settings).per_image


def _sized(
    recons: NDArray[np.uint8], seen: NDArray[np.uint8], evaluation: EvaluationSettings
) -> tuple[Tensor, Tensor]:
    _require_pairs(len(recons), len(seen), 1)
    sizes = (evaluation.eval_size, evaluation.pixel_size)
    first, second = (to_evaluation_size(as_images(pixels), *sizes) for pixels in (recons, seen))
    return first, second


def _require_pairs(n_recons: int, n_seen: int, least: int) -> None:
    if n_recons != n_seen or n_recons < least:
        expected = f"a seen image for each reconstruction, at least {least}"
        found = f"{n_recons} reconstructions, {n_seen} seen"
        fix = "pass both in the same order"
        raise PipelineError("images", expected, found, fix, code="inconsistent-inputs")
