"""A large artifact is read within its own size, and a generator's U-Net, too."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brainit.core.artifacts import write_artifact

N_TENSORS, TENSOR_BYTES = 24, 16 << 20
ABOVE = 1.35
"""Most memory over the file's size: one tensor twice, and what is mapped at a time."""
READ = """
import sys
from pathlib import Path
from brainit.core.artifacts import read_artifact
from tests.contract.test_artifact_memory import highest_bytes
before = highest_bytes()
tensors = read_artifact(Path(sys.argv[1]), "generator").tensors
print(highest_bytes() - before, sum(value.nbytes for value in tensors.values()))
"""
LOAD = """
import sys
from pathlib import Path
import torch
from torch import nn
from brainit.models import generator_file
from tests.contract.test_artifact_memory import N_TENSORS, TENSOR_BYTES, highest_bytes
with torch.device("meta"):
    unet = nn.ParameterDict({str(k): torch.empty(TENSOR_BYTES // 4) for k in range(N_TENSORS)})
generator = nn.Module()
generator.unet = unet
generator_file.load_backbone = lambda *_: generator
before = highest_bytes()
generator_file.load_generator("wide", Path(sys.argv[1]))
print(highest_bytes() - before, sum(value.nbytes for value in unet.values()))
"""


def highest_bytes() -> int:
    """Return the most bytes that this process has held (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.skipif(not highest_bytes(), reason="this system doesn't tell its pages")
@pytest.mark.parametrize("program", [READ, LOAD], ids=["artifact", "generator"])
def test_a_large_file_is_in_memory_once(tmp_path: Path, repository: Path, program: str) -> None:
    path = tmp_path / "generator.safetensors"
    tensors = {str(k): np.full(TENSOR_BYTES // 4, k, np.float32) for k in range(N_TENSORS)}
    write_artifact(path, "generator", tensors, {"name": "wide", "seed": 0})
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    grown, size = map(int, done.stdout.split())
    assert size == N_TENSORS * TENSOR_BYTES
    assert grown <= ABOVE * size
