"""`~` and `$VARS` in the paths of a configuration."""

from typing import Any

import pytest

from brainit.core.errors import PipelineError
from brainit.workflow.folders import expand_folder, expand_folders

URL = "https://example.org/$HOME/~nsd"


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.delenv("UNSET_PLACE", raising=False)


def test_every_setting_that_holds_a_path_is_expanded(paper: dict[str, Any]) -> None:
    config = {
        **paper,
        "paths": {"results": "~/r", "store": "$SCRATCH/s", "source": "file://${SCRATCH}/nsd"},
        "lab": {"me": "~/lab", "you": "/data/you"},
        "models": "~/models",
        "nsd": {**paper["nsd"], "mask_files": ["$SCRATCH/lh.mgz", "rh.mgz"]},
        "clusters": {**paper["clusters"], "atlas": "{store}/$SCRATCH/{hemisphere}.annot"},
        "run": {**paper["run"], "container": "~/brainit.sif"},
        "ablations": {"other": {"clusters": {"atlas": "~/{hemisphere}.annot"}}, "off": None},
    }
    found = expand_folders(config)
    assert found["paths"] == {
        "results": "/home/me/r",
        "store": "/scratch/me/s",
        "source": "file:///scratch/me/nsd",
    }
    assert found["lab"] == {"me": "/home/me/lab", "you": "/data/you"}
    assert found["models"] == "/home/me/models"
    assert found["nsd"]["mask_files"] == ["/scratch/me/lh.mgz", "rh.mgz"]
    assert found["clusters"]["atlas"] == "{store}//scratch/me/{hemisphere}.annot"
    assert found["run"]["container"] == "/home/me/brainit.sif"
    atlas = {"clusters": {"atlas": "/home/me/{hemisphere}.annot"}}
    assert found["ablations"] == {"other": atlas, "off": None}
    assert config["paths"]["results"] == "~/r", "the given configuration stays as it is"


def test_what_holds_no_path_stays(paper: dict[str, Any]) -> None:
    assert expand_folders(paper) == paper
    assert expand_folders({"models": "authors", "paths": {"source": URL}}) == {
        "models": "authors",
        "paths": {"source": URL},
    }


@pytest.mark.parametrize(
    ("text", "word"),
    [("$UNSET_PLACE/x", "UNSET_PLACE"), ("a/${UNSET_PLACE}", "UNSET_PLACE"), ("~nobody0/x", "~")],
)
def test_an_unset_variable_is_no_folder_of_that_name(text: str, word: str) -> None:
    with pytest.raises(PipelineError) as error:
        expand_folders({"paths": {"store": text}})
    assert error.value.code == "invalid-setting" and error.value.where == "paths.store"
    assert word in error.value.found
    with pytest.raises(PipelineError) as error:
        expand_folder(text, "BRAINIT_WEIGHTS")
    assert error.value.where == "BRAINIT_WEIGHTS"
