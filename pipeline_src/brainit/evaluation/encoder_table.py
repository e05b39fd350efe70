"""How well the encoder predicts each part of cortex, beside the noise ceiling (beyond the paper).

Parts are all voxels, the hemispheres, ranges of the noise ceiling and, in a simulation, true areas.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainit.core.settings import Settings
from brainit.core.streams import numpy_generator
from brainit.data.voxels import read_voxels
from brainit.evaluation.bootstrap import bootstrap_interval
from brainit.evaluation.encoder_accuracy import predict_test_responses
from brainit.evaluation.table_files import Block, Table
from brainit.evaluation.table_rows import ENCODER_TABLE, title_of
from brainit.evaluation.truth import read_voxel_truth

CEILING_EDGES = (0.0, 10.0, 30.0, 50.0, 100.0)
"""Ranges of the noise ceiling, in percent of variance."""
_COLUMNS = ("voxels", "ceiling, %", "correlation", "95 % interval", "share of attainable")


def encoder_table(
    encoder: Path,
    voxels: Mapping[str, Path],
    betas: Mapping[str, Path],
    trials: Mapping[str, Path],
    stimuli: Path,
    truth: Path | None,
    weights_dir: Path | None,
    settings: Settings,
) -> Table:
    """Return the table of the evaluated subjects; `truth` is a simulation's, else None."""
    subjects = [subject for subject in settings.nsd.evaluated if subject in betas]
    chosen = {subject: betas[subject] for subject in subjects}
    found = predict_test_responses(encoder, chosen, trials, stimuli, weights_dir, settings)
    parts = []
    for predictions in found:
        subject = predictions.subject
        table = read_voxels(voxels[subject])
        ceiling = table["noise_ceiling"].astype(np.float64)
        masks = dict(_parts(table["hemisphere"], ceiling))
        if truth is not None:
            true = read_voxel_truth(truth, subject, voxels[subject])
            masks |= {f"true {name}": true.area == i for i, name in enumerate(true.areas)}
        rows = accuracy_by_part(predictions.correlation, ceiling, masks, settings)
        parts.append(rows.assign(subject=subject))
    records = pd.concat(parts, ignore_index=True).assign(simulation=settings.run.simulation)
    blocks = tuple(_block(part, part["subject"].iloc[0]) for part in parts)
    title = title_of(ENCODER_TABLE) + (" (simulation)" if settings.run.simulation else "")
    notes = (
        "Correlation over held-out shared images of predicted and measured response (repeats "
        "averaged), mean over voxels; bootstrap over voxels. Share of attainable: median of "
        "correlation / sqrt(noise ceiling) over voxels with a ceiling above 10 %.",
        "The paper has no numbers of this. Real data have no area labels here: hemispheres and "
        "ranges of the ceiling stand for them.",
    )
    return Table(ENCODER_TABLE, title, blocks, records, notes)


def _parts(
    hemisphere: NDArray[np.int64], ceiling: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield "all voxels", np.ones(len(ceiling), dtype=bool)
    for side, name in enumerate(("left", "right")):
        yield f"{name} hemisphere", hemisphere == side
    for low, high in zip(CEILING_EDGES[:-1], CEILING_EDGES[1:], strict=True):
        is_last = high == CEILING_EDGES[-1]
        below = ceiling <= high if is_last else ceiling < high
        yield f"ceiling {low:.0f} to {high:.0f} %", (ceiling >= low) & below


def accuracy_by_part(
    correlation: NDArray[np.float64],
    ceiling: NDArray[np.float64],
    parts: Mapping[str, NDArray[np.bool_]],
    settings: Settings,
) -> pd.DataFrame:
    """Return a row for each part that has voxels; `ceiling` in percent, `correlation` by voxel."""
    rows = []
    for name, inside in parts.items():
        values, limits = correlation[inside], ceiling[inside]
        if not len(values):
            continue
        generator = numpy_generator(settings.run.seed, "encoder_table", name)
        low, high = bootstrap_interval(values, settings.evaluation.n_bootstrap, generator)
        able = limits > CEILING_EDGES[1]
        share = np.median(values[able] / np.sqrt(limits[able] / 100)) if able.any() else np.nan
        centres = float(np.median(limits)), float(values.mean())
        rows.append((name, len(values), *centres, low, high, float(share)))
    names = ["part", "n_voxels", "median_ceiling_pct", "mean_r", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=[*names, "share_of_attainable"])


def _block(rows: pd.DataFrame, subject: str) -> Block:
    heading = ("part", *_COLUMNS)
    cells = [
        (
            str(row["part"]),
            f"{row['n_voxels']:,}",
            f"{row['median_ceiling_pct']:.1f}",
            f"{row['mean_r']:.3f}",
            f"{row['ci_low']:.3f} to {row['ci_high']:.3f}",
            "–" if np.isnan(row["share_of_attainable"]) else f"{row['share_of_attainable']:.3f}",
        )
        for row in rows.to_dict("records")
    ]
    return Block(subject, heading, tuple(cells))
