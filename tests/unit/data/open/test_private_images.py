"""LAION-fMRI's images stay private: on the disk, in figures, and in a cohort."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.data.open import laion_miniature as mini
from tests.unit.data.open.image_service import REQUEST, serving
from tests.unit.data.open.laion_miniature import wanted

from brainit.core.settings import ImageSettings, NsdSettings, Settings
from brainit.data.cohort import JoinFiles, join_cohort
from brainit.data.lab.prepare import LabOutputs, import_lab_subject
from brainit.data.open.laion import import_laion
from brainit.data.pixels import PixelStore


def prepared(folder: Path, target: Path) -> LabOutputs:
    """Prepare a subject's folder with images of 8 pixels; return the files."""
    names = ("trials.csv", "names.csv", "stimuli", "betas.npy", "voxels.safetensors")
    rest = ("betas.json", "ceiling.safetensors", "ceiling.csv")
    made = LabOutputs(*(target / name for name in (*names, *rest)))
    images = ImageSettings(stored_size=8, rows_per_shard=5)
    settings = Settings(nsd=NsdSettings(validation_share=0.25), images=images)
    import_lab_subject(folder, target.name, settings, made)
    return made


def test_a_cohort_with_a_private_member_shows_grey(laion: mini.Miniature, tmp_path: Path) -> None:
    made = {}
    for name, sessions, shows in (("anna", (1,), False), ("ben", (2,), True)):
        ask = wanted(laion, sessions=sessions, shows_images=shows)
        import_laion(ask, tmp_path / f"folders/{name}")
        made[name] = prepared(tmp_path / f"folders/{name}", tmp_path / name)
    files = JoinFiles(
        stimuli={name: outputs.stimuli for name, outputs in made.items()},
        trials={name: outputs.trials for name, outputs in made.items()},
        out=tmp_path / "cohort",
        names={name: outputs.images for name, outputs in made.items()},
    )
    join_cohort(files, most_bits=0)
    store = PixelStore(tmp_path / "cohort/images/stimuli")
    rows = np.arange(len(store))
    assert len(store) == sum(len(PixelStore(outputs.stimuli)) for outputs in made.values())
    assert not store.may_be_shown and PixelStore(made["ben"].stimuli).may_be_shown
    assert np.ptp(store.pixels(rows)) > 0 and np.ptp(store.shown(rows)) == 0


@pytest.mark.parametrize("shows_images", [False, True])
def test_images_stay_out_of_figures_unless_the_user_says_so(
    laion: mini.Miniature, tmp_path: Path, shows_images: bool
) -> None:
    import_laion(wanted(laion, sessions=(1,), shows_images=shows_images), tmp_path / "sub")
    made = prepared(tmp_path / "sub", tmp_path / "made")
    store, row = PixelStore(made.stimuli), np.array([0, 2])
    assert store.may_be_shown == shows_images
    assert np.ptp(store.pixels(row)) > 0
    assert (np.ptp(store.shown(row)) > 0) == shows_images
    assert json.loads(made.summary.read_text())["about"]["splits"]["list"] == "tau"


def test_images_are_for_their_owner_alone_at_any_time(
    laion: mini.Miniature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = tmp_path / "lists {of} mine"
    shutil.copytree(laion.lists, lists)
    copy, name = shutil.copyfile, "task-images_stimuli.h5"
    modes: set[int] = set()

    def watched(source: Path, target: Path) -> None:
        modes.add(target.parents[1].stat().st_mode & 0o777)
        copy(source, target)

    monkeypatch.setattr("brainit.data.lab.layout.shutil.copyfile", watched)
    with serving(laion.images.parent) as (address, _):
        ask = wanted(laion, images=None, request=REQUEST, service=address, keeps_images_file=True)
        ask = replace(ask, split_source=str(lists))
        with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
            stopped.setattr("brainit.data.open.laion.write_imported", interrupt)
            import_laion(ask, tmp_path / "sub")
        work = tmp_path / ".sub.import"
        assert work.stat().st_mode & 0o777 == 0o700
        assert (work / name).is_file() and not (tmp_path / name).exists()
        import_laion(ask, tmp_path / "sub")
    assert modes == {0o700} and not work.exists()
    assert (tmp_path / "sub/images").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "sub").stat().st_mode == tmp_path.joinpath("lists {of} mine").stat().st_mode
    for kept in (name, "task-images_metadata.csv"):
        assert (tmp_path / kept).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / name).read_bytes() == laion.images.read_bytes()
    again = wanted(laion, images=tmp_path / name, split_source=str(lists))
    import_laion(again, tmp_path / "again")  # without a request


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
