"""NSD-Imagery's table: means by plain loops, from files as the workflow writes them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.refusals import refused

from brainit.commands.program import run

CLASS = ["simple"] * 6 + ["complex"] * 6 + ["words"] * 6


def write_scores(results: Path) -> dict[tuple[str, str], np.ndarray]:
    """Write scores of 12 pictures of two subjects; return PixCorr by task and subject."""
    found = {}
    for number, subject in enumerate(("subj01", "subj02")):
        for task in ("vision", "imagery"):
            folder = results / subject
            (folder / f"nsdimagery_{task}").mkdir(parents=True)
            (folder / "metrics").mkdir(exist_ok=True)
            classes = pd.DataFrame({"row": range(18), "class": CLASS, "set": "x", "condition": "y"})
            classes.to_csv(folder / f"nsdimagery_{task}/classes.csv", index=False)
            values = np.random.default_rng([number, len(task)]).random(12)
            scores = pd.DataFrame({"nsd_id": range(12), "PixCorr": values, "Eff": 1 - values})
            scores["CLIP"] = np.nan
            scores.to_csv(folder / f"metrics/nsdimagery_{task}_fused.csv", index=False)
            found[task, subject] = values
    return found


def test_means_by_task_and_class(tmp_path: Path) -> None:
    values = write_scores(tmp_path)
    run(["imagery-table", str(tmp_path)])
    folder = tmp_path / "tables/nsdimagery"
    records = pd.read_csv(folder / "nsdimagery.csv")
    assert len(records) == 2 * 2 * 2 * 2 and set(records["n_images"]) == {6}
    text = (folder / "nsdimagery.md").read_text()
    for task in ("vision", "imagery"):
        for kind, first in (("simple", 0), ("complex", 6)):
            means = []
            for subject in ("subj01", "subj02"):
                expected = sum(values[task, subject][first : first + 6]) / 6
                row = records[
                    (records["subject"] == subject)
                    & (records["task"] == task)
                    & (records["class"] == kind)
                    & (records["metric"] == "PixCorr")
                ]
                assert row["mean"].item() == pytest.approx(expected)
                means.append(expected)
            assert f"{sum(means) / 2:.3f}" in text
    assert "words" not in set(records["class"]) and "among 12" in text


def test_without_scores_or_classes(tmp_path: Path) -> None:
    with refused("missing-file", "nsdimagery_vision_fused"):
        run(["imagery-table", str(tmp_path)])
    write_scores(tmp_path)
    path = tmp_path / "subj01/nsdimagery_vision/classes.csv"
    pd.read_csv(path).iloc[3:].to_csv(path, index=False)
    with refused("inconsistent-inputs", "picture 0"):
        run(["imagery-table", str(tmp_path)])
