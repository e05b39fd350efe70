"""Peak resident memory of each preparation step, run by its own command on true-size inputs.

One session of subject 1 from a web server on this machine, as from NSD's bucket; the noise ceiling
of all 40 sessions; stimuli and external images for more than a shard. Names of parts as arguments
run these alone. Takes about 9 GB of disk while it runs. The bar is 1 GB for each step.

This module imports no arrays: a child's peak, as the system counts it, starts from its parent's.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import rmtree
from time import perf_counter
from typing import Any

BAR_MB = 1000.0
SUBJECT = "subj01"
NSD: dict[str, Any] = {
    "accept_terms": True,
    "published_checks": "never",
    "mask": "nsdgeneral",
    "subjects": [SUBJECT],
    "evaluated": [SUBJECT],
    "transfer": [SUBJECT],
}
VOLUME = {**NSD, "space": "func1pt8mm"}
IMAGES = {"n_external": 4608}
TRIALS_PER_SESSION = 750


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder and writes no log."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve `folder` on loopback; yield its address."""
    handler = partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Bench:
    """A folder, the files served from it, and the measured peaks."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.served, self.made = root / "served", root / "made"
        self.peaks_mb: dict[str, float] = {}

    def write(self, kind: str, folder: Path | None = None) -> None:
        """Write files of a kind in a separate process."""
        writer = Path(__file__).with_name("true_nsd.py")
        command = [sys.executable, str(writer), kind, str(folder or self.served)]
        subprocess.run(command, check=True)

    def step(self, name: str, settings: dict[str, Any], label: str = "", **flags: object) -> None:
        """Run a step by its command and keep its peak memory."""
        words = [word for flag, value in flags.items() for word in (_flag(flag), str(value))]
        command = [sys.executable, "-m", f"brainit.steps.{name}", *words]
        log, started = self.root / f"{name}.log", perf_counter()
        with log.open("wb") as handle:
            process = subprocess.Popen(
                [*command, "--settings", json.dumps(settings)], stderr=handle, stdout=handle
            )
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(log.read_text()[-2000:])
        peak_mb = usage.ru_maxrss / 1024
        self.peaks_mb[f"{name} {label}".strip()] = peak_mb
        seconds = perf_counter() - started
        print(f"{name} {label:<8} {peak_mb:6.0f} MB {seconds:6.1f} s", flush=True)  # noqa: T201


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def tables(bench: Bench) -> None:
    """Metadata and design of all sessions, which the other parts build on."""
    made = bench.made
    bench.write("tables")
    bench.write("voxels", made)
    places = {"out": made / "nsd", "work": made / "work", "manifest": made / "nsd.json"}
    bench.step("download", {"nsd": NSD}, source=bench.url, **places)
    flags = {"subject": SUBJECT, "nsd": made / "nsd", "trials": made / "trials.csv"}
    bench.step("prepare_design", {"nsd": NSD}, **flags)
    rows = (made / "trials.csv").read_text().splitlines(keepends=True)
    (made / "session1.csv").write_text("".join(rows[: TRIALS_PER_SESSION + 1]))


def prepare_betas(bench: Bench, nsd_root: Path, nsd: dict[str, Any], label: str) -> None:
    """One session of betas, fetched, masked and normalised."""
    out = bench.made / label
    bench.step(
        "prepare_betas",
        {"nsd": nsd},
        label,
        subject=SUBJECT,
        nsd=nsd_root,
        source=bench.url,
        trials=bench.made / "session1.csv",
        work=bench.made / "work",
        betas=out / "betas.npy",
        voxels=out / "voxels.safetensors",
        summary=out / "betas.json",
    )


def surface(bench: Bench) -> None:
    """Betas on fsaverage."""
    bench.write("surface")
    prepare_betas(bench, bench.made / "nsd", NSD, "surface")
    rmtree(bench.served / "nsddata_betas")


def ceiling(bench: Bench) -> None:
    """Noise ceiling of all sessions."""
    full, out = bench.root / "full", bench.made / "ceiling"
    bench.write("all_sessions", full)
    bench.step(
        "estimate_noise_ceiling",
        {"nsd": NSD},
        subject=SUBJECT,
        nsd=bench.made / "nsd",
        source=bench.url,
        betas=full / "betas.npy",
        voxels=bench.made / "voxels.safetensors",
        betas_summary=full / "betas.json",
        trials=bench.made / "trials.csv",
        out=out / "ceiling.safetensors",
        summary=out / "summary.csv",
        sessions=out / "sessions.csv",
        figure=out / "ceiling.png",
    )
    rmtree(full)


def volume(bench: Bench) -> None:
    """Betas in the subject's volume, in both formats."""
    bench.write("volume")
    prepare_betas(bench, bench.served, VOLUME, "hdf5")
    prepare_betas(bench, bench.served, {**VOLUME, "volume_format": "nifti"}, "nifti")
    rmtree(bench.served / "nsddata_betas")


def synthetic(bench: Bench) -> None:
    """NSD-synthetic at the voxels of the surface."""
    bench.write("synthetic")
    bench.step(
        "prepare_nsdsynthetic",
        {"nsd": NSD},
        subject=SUBJECT,
        source=bench.url,
        voxels=bench.made / "voxels.safetensors",
        work=bench.made / "work",
        out=bench.made / "nsdsynthetic",
    )
    rmtree(bench.served / "nsddata_betas")
    rmtree(bench.served / "nsddata_stimuli")


def images(bench: Bench) -> None:
    """Stimuli and external images, fetched and kept at one size."""
    bench.write("images")
    brick, coco = bench.root / "brick.hdf5", bench.root / "coco.zip"
    bench.step(
        "download_images",
        {"nsd": NSD},
        source=bench.url,
        coco_source=bench.url,
        stimuli=brick,
        coco=coco,
        work=bench.made / "work",
        manifest=bench.made / "images.json",
    )
    rmtree(bench.served / "nsddata_stimuli")
    (bench.served / "unlabeled2017.zip").unlink()
    out = {"stimuli": bench.root / "stimuli", "external": bench.root / "external"}
    bench.step("prepare_images", {"images": IMAGES}, brick=brick, coco=coco, **out)
    brick.unlink()
    coco.unlink()
    for folder in out.values():
        rmtree(folder)


def lab(bench: Bench) -> None:
    """Import a subject of a lab, four sessions."""
    folder, out = bench.root / "labsub", bench.made / "lab"
    bench.write("lab", folder)
    bench.step(
        "prepare_lab_subject",
        {},
        subject="labsub",
        folder=folder,
        trials=out / "trials.csv",
        images=out / "names.csv",
        stimuli=out / "stimuli",
        betas=out / "betas.npy",
        voxels=out / "voxels.safetensors",
        summary=out / "betas.json",
        ceiling=out / "ceiling.safetensors",
        ceiling_summary=out / "ceiling.csv",
    )
    rmtree(folder)
    rmtree(out)


PARTS = {part.__name__: part for part in (surface, ceiling, synthetic, volume, images, lab)}


def main() -> int:
    """Print the peak of each step; return 1 where one is above the bar."""
    chosen = sys.argv[1:] or list(PARTS)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "served").mkdir()
        with serving(Path(folder) / "served") as url:
            bench = Bench(Path(folder), url)
            tables(bench)
            for name in chosen:
                PARTS[name](bench)
    step, peak_mb = max(bench.peaks_mb.items(), key=lambda item: item[1])
    print(f"preparation memory: {peak_mb:.0f} MB (bar {BAR_MB:.0f} MB) [{step}]")  # noqa: T201
    return int(peak_mb > BAR_MB)


if __name__ == "__main__":
    sys.exit(main())
