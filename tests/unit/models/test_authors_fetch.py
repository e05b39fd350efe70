"""The authors' files, from a folder of one's own or from the hub, as links."""

from pathlib import Path

import huggingface_hub
import pytest
from tests.refusals import refused

from brainit.features import weights_fetch
from brainit.models.authors.convert import ALL_FILES, N_VOXELS, all_subjects
from brainit.models.authors.fetch import REPOSITORY, fetch_authors


def test_files_of_ones_own_folder_are_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, out = tmp_path / "own", tmp_path / "store" / "authors"
    own.mkdir()
    for name in ALL_FILES:
        (own / name).write_text(name)
    monkeypatch.setenv("BRAINIT_WEIGHTS", str(own))
    fetch_authors(out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {n: n for n in ALL_FILES}
    (out / ALL_FILES[0]).unlink()
    (out / ALL_FILES[0]).symlink_to(tmp_path / "gone")
    (out / ALL_FILES[1]).unlink()
    (out / ALL_FILES[1]).write_text("kept")
    fetch_authors(out)
    assert (out / ALL_FILES[0]).read_text() == ALL_FILES[0]
    assert (out / ALL_FILES[1]).read_text() == "kept"


def test_the_hub_is_asked_for_what_is_nowhere_and_named_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, file: str, **_: object) -> str:
        asked.append((repository, file))
        if file == ALL_FILES[2]:
            raise OSError("no network")
        (tmp_path / file).write_text(file)
        return str(tmp_path / file)

    monkeypatch.delenv("BRAINIT_WEIGHTS", raising=False)
    monkeypatch.setattr(weights_fetch, "require_host", lambda url: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with refused("network", REPOSITORY, ALL_FILES[2], "no network"):
        fetch_authors(tmp_path / "out")
    assert asked == [(REPOSITORY, name) for name in ALL_FILES[:3]]


def test_all_subjects_have_the_released_counts() -> None:
    assert list(all_subjects()) == [f"subj0{k}" for k in range(1, 9)]
    assert tuple(all_subjects().values()) == N_VOXELS
