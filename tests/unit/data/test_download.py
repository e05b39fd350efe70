"""Fetching NSD's tree from a folder, a web server and a bucket on this machine; NSD's terms."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.unit.data.fault_server import Faults, serving

from brainit.core.errors import PipelineError
from brainit.core.files import sha256_of
from brainit.core.progress import ByteProgress
from brainit.core.settings import NsdSettings, parse_sections
from brainit.data.fetch import transfers
from brainit.data.fetch.sources import fetch, source_files
from brainit.data.images import ImageStore
from brainit.data.nsd import download as download_module
from brainit.data.nsd.betas import prepare_betas
from brainit.data.nsd.download import download, download_images, metadata_keys
from brainit.data.nsd.paths import COCO_ARCHIVE, STIMULI
from brainit.steps import download as download_step
from brainit.steps import download_images as download_images_step
from brainit.steps import prepare_images

SUBJECTS = {name: ("subj01", "subj02") for name in ("subjects", "evaluated", "transfer")}
NSD = NsdSettings(**SUBJECTS)
ACCEPTED = NsdSettings(**SUBJECTS, accept_terms=True)


@pytest.mark.parametrize("form", ["path", "file"])
def test_download_from_a_folder(tiny_nsd: Any, tmp_path: Path, form: str) -> None:
    root = tiny_nsd.root if form == "path" else tiny_nsd.root.as_uri()
    out = tmp_path / "nsd"
    download(str(root), NSD, out, tmp_path / "work", tmp_path / "m.json")
    entries = json.loads((tmp_path / "m.json").read_text())["files"]
    assert [e["file"] for e in entries] == metadata_keys(NSD)
    for entry in entries:
        path = out / entry["file"]
        assert path.read_bytes() == (tiny_nsd.root / entry["file"]).read_bytes()
        assert entry["sha256"] == sha256_of(path) and entry["bytes"] == path.stat().st_size
    assert not list(out.rglob("*.betas_session*")) and not list(out.rglob(".*"))
    assert not (tmp_path / "work").exists() and not list(tmp_path.glob("*terms*"))


def test_steps_from_download_to_images(tiny_nsd: Any, tmp_path: Path) -> None:
    settings = parse_sections({"nsd": SUBJECTS, "images": {"stored_size": 8}}).model_dump_json()
    source = ["--source", str(tiny_nsd.root), "--work", str(tmp_path / "work")]
    source += ["--manifest", str(tmp_path / "m.json"), "--settings", settings]
    download_step.main([*source, "--out", str(tmp_path / "nsd")])
    brick, coco = tmp_path / "nsd_stimuli.hdf5", tmp_path / "unlabeled2017.zip"
    files = ["--stimuli", str(brick), "--coco", str(coco)]
    download_images_step.main([*source, *files, "--coco-source", str(tiny_nsd.root / "coco")])
    # The workflow compares the time stamps of both ends: they must not be one file.
    assert not coco.samefile(tiny_nsd.zip_path) and not brick.samefile(tiny_nsd.stimuli_path)
    stimuli, external = tmp_path / "stimuli", tmp_path / "external"
    inputs = ["--brick", str(brick), "--coco", str(coco), "--settings", settings]
    prepare_images.main([*inputs, "--stimuli", str(stimuli), "--external", str(external)])
    assert (len(ImageStore(stimuli)), len(ImageStore(external))) == (tiny_nsd.n_images, 4)


@pytest.mark.parametrize("source", ["https://nsd.example", "s3://nsd", "http://nsd.example"])
def test_nothing_is_requested_before_the_terms_are_accepted(
    tiny_nsd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr("brainit.data.fetch.remote._s3_client", refuse)
    a, b, c, d = (tmp_path / name for name in "abcd")
    with pytest.raises(PipelineError) as error:
        download(source, NSD, a, b, c)
    assert error.value.code == "terms" and "nsd.accept_terms: true" in error.value.fix
    for text in ("forms.gle/xue2bCdM9LaFNMeb7", "Terms-and-Conditions", "Allen et al. 2022"):
        assert text in error.value.fix
    with pytest.raises(PipelineError) as error:
        download_images(source, "https://coco.example", NSD, a, b, c, d)
    assert error.value.code == "terms"
    with pytest.raises(PipelineError) as error:
        prepare_betas("subj01", tmp_path, source, tmp_path / "t", tmp_path, NSD)
    assert error.value.code == "terms"
    assert not list(tmp_path.iterdir())


def _without_rsc(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    """Let the label that is not in the bucket come from the same server."""
    monkeypatch.setattr(
        download_module, "_RSC_FOLDER", f"{root}/nsddata/freesurfer/fsaverage/label"
    )


def test_accepted_terms_are_recorded_and_the_manifest_says_what_came(
    tiny_nsd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {side: sha256_of(tiny_nsd.label_path(side, "nsdgeneralRSC")) for side in ("lh", "rh")}
    monkeypatch.setattr(download_module, "_RSC_SHA256", labels)
    with serving(tiny_nsd.root, Faults()) as root:
        _without_rsc(monkeypatch, root)
        download(root, ACCEPTED, tmp_path / "nsd", tmp_path / "work", tmp_path / "m/nsd.json")
    entries = json.loads((tmp_path / "m/nsd.json").read_text())["files"]
    for entry in entries:
        path = tmp_path / "nsd" / entry["file"]
        assert path.read_bytes() == (tiny_nsd.root / entry["file"]).read_bytes()
        assert entry["url"].startswith(root) and entry["etag"] and entry["fetched_at"]
    record = json.loads((tmp_path / "m/nsd_terms_accepted.json").read_text())
    assert record["terms"].startswith("https://") and record["day"].startswith("20")


def test_an_rsc_label_of_another_sum_is_refused(
    tiny_nsd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tiny_nsd.root, Faults()) as root:
        _without_rsc(monkeypatch, root)
        with pytest.raises(PipelineError) as error:
            download(root, ACCEPTED, tmp_path / "nsd", tmp_path / "w", tmp_path / "m.json")
    label = tiny_nsd.label_path(error.value.where.rpartition("/")[2][:2], "nsdgeneralRSC")
    assert error.value.code == "checksum" and error.value.found == sha256_of(label)
    assert "nsd.mask: nsdgeneral" in error.value.fix
    assert not (tmp_path / "m.json").exists()


def test_files_are_fetched_at_the_same_time_and_once(tiny_nsd: Any, tmp_path: Path) -> None:
    nsd = ACCEPTED.model_copy(update={"mask": "nsdgeneral"})
    faults = Faults(status={"rh.pial": 404})
    places = tmp_path / "nsd", tmp_path / "work", tmp_path / "m.json"
    with serving(tiny_nsd.root, faults) as root:
        with pytest.raises(PipelineError) as error:
            download(root, nsd.model_copy(update={"connections": 1}), *places)
        assert error.value.code == "network" and "HTTP 404" in error.value.found
        whole = [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()]
        assert "lh.pial" in whole and not (tmp_path / "nsd").exists()
        faults.status.clear()
        download(root, nsd, *places)
    asked = Counter(name for name, _ in faults.asked)
    assert asked - Counter(Path(key).name for key in metadata_keys(nsd)) == {"rh.pial": 1}
    assert (tmp_path / "nsd/nsddata/freesurfer/fsaverage/surf/rh.pial").is_file()


def test_another_coco_archive_is_a_warning(
    tiny_nsd: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = [tmp_path / name for name in ("s.hdf5", "c.zip", "work", "m.json")]
    with serving(tiny_nsd.root, Faults()) as root:
        download_images(root, f"{root}/coco", ACCEPTED, *places)
    assert places[0].read_bytes() == tiny_nsd.stimuli_path.read_bytes()
    assert places[1].read_bytes() == tiny_nsd.zip_path.read_bytes()
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    marked = [text for text in warnings if "without encryption" in text]
    assert len(marked) == 2 and len(warnings) == 3
    assert "7ebc562819fdb32847aab79530457326" in warnings[-1]
    files = [entry["file"] for entry in json.loads(places[3].read_text())["files"]]
    assert files == [STIMULI, COCO_ARCHIVE]


@pytest.mark.parametrize("is_served", [True, False])
def test_the_progress_of_the_images_knows_its_end(
    tiny_nsd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_served: bool
) -> None:
    made: list[ByteProgress] = []

    def progress(*args: Any) -> ByteProgress:
        made.append(ByteProgress(*args))
        return made[-1]

    monkeypatch.setattr(download_module, "ByteProgress", progress)
    monkeypatch.setattr(transfers, "_FIRST_WAIT_S", 0.001)
    n_bytes = sum(path.stat().st_size for path in (tiny_nsd.stimuli_path, tiny_nsd.zip_path))
    faults = Faults(status={"unlabeled2017.zip": 500} if is_served else {})
    places = [tmp_path / name for name in ("s.hdf5", "c.zip", "work", "m.json")]
    with serving(tiny_nsd.root, faults) as url:
        root = url if is_served else str(tiny_nsd.root)
        if is_served:  # the stimuli come, the archive does not: a rerun counts what is there
            with pytest.raises(PipelineError) as error:
                download_images(root, f"{root}/coco", ACCEPTED, *places)
            assert error.value.code == "network" and "HTTP 500" in error.value.found
            faults.status.clear()
        download_images(root, f"{root}/coco", ACCEPTED, *places)
    assert made[0].n_total == (None if is_served else n_bytes)
    assert made[-1].n_total == made[-1].n_done == n_bytes


def test_a_file_opened_at_its_source_goes_again(tiny_nsd: Any, tmp_path: Path) -> None:
    key = "nsddata/experiments/nsd/nsd_expdesign.mat"
    with (
        serving(tiny_nsd.root, Faults()) as root,
        source_files(root, [key], tmp_path / "w") as files,
    ):
        assert files[0].path.read_bytes() == tiny_nsd.expdesign_path.read_bytes()
        assert files[0].fetched is not None and files[0].fetched.url == f"{root}/{key}"
    assert not files[0].path.exists()


def test_missing_local_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        fetch(str(tmp_path), "absent", tmp_path / "out")
    assert (error.value.code, error.value.where) == ("missing-file", str(tmp_path / "absent"))
    assert "paths.source" in error.value.fix
