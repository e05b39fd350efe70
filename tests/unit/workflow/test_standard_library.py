"""The rules import `brainit.workflow` in Snakemake's environment: it needs nothing else."""

import subprocess
import sys
from pathlib import Path

import brainit.workflow

FOLDER = Path(brainit.workflow.__file__).parent
SCRIPT = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(f"brainit.workflow.{name}")
own = {name.partition(".")[0] for name in sys.modules} - {"__main__", "brainit"}
print(*sorted(own - set(sys.stdlib_module_names)))
"""


def test_nothing_but_the_standard_library_is_imported() -> None:
    names = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))
    assert "runs" in names
    command = [sys.executable, "-S", "-I", "-c", SCRIPT, str(FOLDER.parents[1]), *names]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
