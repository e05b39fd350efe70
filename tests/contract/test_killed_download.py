"""A download that is killed at random moments loses nothing and ends with the same bytes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.data.fault_server import Faults, serving

from brainit.data.nsd.paths import COCO_ARCHIVE, STIMULI

_COMMAND = """
import sys
from pathlib import Path
from brainit.core.settings import NsdSettings
from brainit.data.fetch import remote
from brainit.data.fetch import part_files
from brainit.data.nsd.download import download_images
remote.BLOCK_BYTES, part_files.PIECE_BYTES = 1 << 12, 1 << 15
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
    faults = Faults(block_wait_s=5.0e-3)
    with serving(served, faults) as root:
        command = [sys.executable, "-c", _COMMAND, root, str(out)]
        while n_killed < 20:
            n_before = faults.n_sent
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while process.poll() is None and faults.n_sent == n_before:
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.2))
            assert process.poll() is None, "it ended before it was killed twenty times"
            process.send_signal(signal.SIGKILL)
            process.wait()
            n_killed += 1
            assert not (out / "m.json").exists()
        n_before, faults.block_wait_s = faults.n_sent, 0.0
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert faults.n_sent - n_before < 2 * len(content)  # the killed ones' pieces count
    assert (out / "s.hdf5").read_bytes() == stimuli.read_bytes()
    assert (out / "c.zip").read_bytes() == coco.read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "c.zip",
        "m.json",
        "nsd_terms_accepted.json",
        "s.hdf5",
    ]
