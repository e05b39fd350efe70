"""The notebook on the tiny run: its cells as a script, and in a kernel where Jupyter is."""

import json
import os
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).resolve().parents[2] / "workflow" / "notebooks" / "first_look.ipynb"


@pytest.fixture(autouse=True)
def as_before():  # type: ignore[no-untyped-def]
    """Close figures, and put torch's switches back: the reconstructor sets those of the run."""
    yield
    plt.close("all")
    torch.use_deterministic_algorithms(False)


def cells() -> list[dict[str, Any]]:
    return [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]


def test_it_is_kept_without_outputs() -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells())


def test_its_cells_run_as_a_script(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINIT_RESULTS", str(first / "results"))
    plt.close("all")
    names: dict[str, Any] = {}
    for cell in cells():
        code = "".join(cell["source"])
        exec(compile(code, f"{NOTEBOOK.name}, cell {cell['id']}", "exec"), names)
    kept = names["recons"].images["fused"]
    difference = np.abs(names["decoded"]["fused"].astype(int) - kept[:4])
    assert difference.max() <= 1, "four images at once may round unlike the run's eight"
    assert len(names["own"]) == len(names["scores"]) == len(kept) == 8
    assert names["shown"]["ours"].between(names["shown"]["ci_low"], names["shown"]["ci_high"]).all()
    assert len(plt.get_fignums()) == 5
    ceiling, accuracy = names["ceiling"], names["accuracy"]
    assert np.isfinite(ceiling).sum() == np.isfinite(accuracy).sum() == 60


def test_it_runs_in_a_kernel(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="Jupyter's kernel is not installed: extra dev")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: extra dev")
    import nbformat

    monkeypatch.setenv("BRAINIT_RESULTS", os.path.relpath(first / "results", NOTEBOOK.parent))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert sum("image/png" in out.get("data", {}) for out in outputs) == 5
    said = "".join(out.get("text", "") for out in outputs)
    assert "subj01/1h" in said and "0.00 of 255" in said
