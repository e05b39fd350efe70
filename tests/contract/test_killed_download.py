"""A download that is killed at random moments loses nothing and ends with the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.data.fault_server import Faults, serving

from brainit.data.nsd_paths import COCO_ARCHIVE, STIMULI

_COMMAND = """
import sys
from pathlib import Path
from brainit.core.settings import NsdSettings
from brainit.data import remote
from brainit.data.download import download_images
remote.BLOCK_BYTES = 1 << 14
root, out = sys.argv[1], Path(sys.argv[2])
places = [out / name for name in ("s.hdf5", "c.zip", "work", "m.json")]
download_images(root, f"{root}/coco", NsdSettings(accept_terms=True), *places)
"""


def test_a_download_killed_twenty_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    served, out = tmp_path / "served", tmp_path / "out"
    content = random.Random(0).randbytes(8 << 20)
    stimuli, coco = served / STIMULI, served / "coco" / COCO_ARCHIVE
    for path, header in ((stimuli, b"\x89HDF\r\n\x1a\n"), (coco, b"PK\x03\x04")):
        path.parent.mkdir(parents=True)
        path.write_bytes(header + content)
    draw = random.Random(1)
    n_killed = 0
    with serving(served, Faults(block_wait_s=2.0e-3)) as root:
        command = [sys.executable, "-c", _COMMAND, root, str(out)]
        while n_killed < 20:
            n_before = _bytes_in(out)
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while process.poll() is None and _bytes_in(out) == n_before:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.1))
            assert process.poll() is None, "it ended before it was killed twenty times"
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_killed += 1
            assert not (out / "m.json").exists()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert (out / "s.hdf5").read_bytes() == stimuli.read_bytes()
    assert (out / "c.zip").read_bytes() == coco.read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "c.zip",
        "m.json",
        "nsd_terms_accepted.json",
        "s.hdf5",
    ]


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.part"):
        try:
            total += os.stat(path).st_size
        except FileNotFoundError:
            continue
    return total
