"""A made-up finished run of four test images, small enough to write in a moment, for the report."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from brainit.core.shards import write_shards
from brainit.data.recons import write_recons
from brainit.evaluation.checks.verdict import Interval, above, as_table, at_least, for_comparison
from brainit.report.html import ReportInputs

NSD_ID = np.array([3, 5, 8, 12345], dtype=np.int64)
DISTANCE = {"fused": [0.4, 0.1, 0.3, 0.2], "lowlevel": [0.1, 0.2, 0.3, 0.4]}
PIX_CORR = {"fused": [0.8, 0.6, 0.2, 0.4], "lowlevel": [0.5, 0.1, float("nan"), 0.3]}


def write_run(folder: Path, side: int = 4) -> ReportInputs:
    """Write tables, figures, images and scores of subj01 and name them."""
    rng = np.random.default_rng(0)
    stimuli = rng.integers(0, 256, size=(12346, side, side, 3)).astype(np.uint8)
    write_shards(folder / "stimuli", iter([stimuli]))
    images = {kind: stimuli[NSD_ID] for kind in ("lowlevel", "fused")}
    record = {"seed": 42, "threads": 1, "versions": {"torch": "2"}, "settings_digest": "f" * 64}
    write_recons(folder / "recon_40h", NSD_ID, images, Image.new("RGB", (4, 4)), record)
    metrics = {}
    for kind in images:
        metrics[f"subj01/40h/{kind}"] = folder / f"40h_{kind}.csv"
        table = {"nsd_id": NSD_ID, "PixCorr": PIX_CORR[kind], "net.final.distance": DISTANCE[kind]}
        pd.DataFrame(table).to_csv(metrics[f"subj01/40h/{kind}"], index=False)
    _write_pages(folder)
    trials = pd.DataFrame({"trial": range(6), "session": 1, "run": 1, "trial_in_session": range(6)})
    trials = trials.assign(nsd_id=[3, 5, 8, 12345, 1, 2], repeat=0, is_shared=True)
    trials.assign(split=["test"] * 4 + ["train", "val"]).to_csv(folder / "trials.csv", index=False)
    return ReportInputs(
        tables=(folder / "table1" / "table1.html", folder / "table1" / "table1.md"),
        figures=folder / "figures",
        recons={"subj01/40h": folder / "recon_40h"},
        metrics=metrics,
        stimuli=folder / "stimuli",
        trials={"subj01": folder / "trials.csv"},
        ceilings={"subj01": folder / "ceiling.csv"},
        checks=folder / "checks.csv",
        benchmarks=folder / "benchmarks",
    )


def _write_pages(folder: Path) -> None:
    (folder / "table1").mkdir()
    wide = "".join(f"<td>{number}</td>" for number in range(40))
    page = f"<section><h2>Table 1</h2><table><tr>{wide}</tr></table></section>\n"
    (folder / "table1" / "table1.html").write_text(page)
    rows = {"condition": ["Brain-IT, 40 h (2,430 training trials)"], "n_seeds": [1]}
    pd.DataFrame(rows).to_csv(folder / "table1" / "table1.csv", index=False)
    (folder / "figures").mkdir()
    for name in ("montage", "of_mine"):
        Image.new("RGB", (900, 90)).save(folder / "figures" / f"{name}.png")
    checks = [
        at_least("good", 1.0, 0.5, "why <this>"),
        above("bad", Interval(0.1, 0.03, 0.17), 0.5, ""),
        above("noisy", Interval(0.5, 0.2, 0.8), 0.4, ""),
        for_comparison("other", 0.7, ""),
    ]
    as_table(checks).to_csv(folder / "checks.csv", index=False)
    ceiling = {"subject": ["subj01"], "n_voxels": [1400], "median_pct": [31.25]}
    pd.DataFrame(ceiling).to_csv(folder / "ceiling.csv", index=False)
    (folder / "benchmarks" / "train_joint").mkdir(parents=True)
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, row in (
        ("all", "100\t0\t500\t0\t0\t0\t0\t0\t90\t95"),
        ("x", "30\t0\t700" + "\t0" * 7),
    ):
        (folder / "benchmarks" / "train_joint" / f"{name}.tsv").write_text(head + row + "\n")
    (folder / "benchmarks" / "download.tsv").write_text(head + "0.5\t0" + "\tNA" * 8 + "\n")
