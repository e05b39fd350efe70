import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.refusals import refused

from brainit.core.settings import ReconSettings, RunSettings, Settings
from brainit.core.shards import write_shards
from brainit.data.recons import KINDS, read_recons
from brainit.reconstruction import gather as module
from brainit.reconstruction.gather import gather_reconstructions
from brainit.reconstruction.parts import Part, read_part, write_part

SETTINGS = Settings(run=RunSettings(simulation=True))
BIT, GENERATOR = ({"file": name, "sha256": f"{name} 1"} for name in ("bit", "generator"))
MODELS_OF = {
    "lowlevel": {"bit_lowlevel": {"file": "low", "sha256": "low 1"}},
    **dict.fromkeys(("semantic", "fused"), {"bit_semantic": BIT, "generator": GENERATOR}),
}
SIDES = {"lowlevel": 6, "semantic": 8, "fused": 8}


def made_of(kind: str, ids: list[int]) -> np.ndarray:
    streams = [np.random.default_rng([KINDS.index(kind), number]) for number in ids]
    side = SIDES[kind]
    return np.stack([stream.integers(0, 256, (side, side, 3), np.uint8) for stream in streams])


def write_kind(folder, kind: str, shards: list[list[int]], **more):
    recon = ReconSettings().model_dump(exclude={"n_shards"})
    attributes = {
        "subject": "subj01",
        "kind": kind,
        "seed": 42,
        "threads": 1,
        "settings": {"recon": recon},
        "models": MODELS_OF[kind],
        **more,
    }
    paths = []
    for number, ids in enumerate(shards):
        path = folder / f"{kind}_{number}_of_{len(shards)}.safetensors"
        write_part(path, Part(np.array(ids), made_of(kind, ids), attributes))
        paths.append(path)
    return paths


@pytest.fixture
def stimuli(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    write_shards(tmp_path / "stimuli", iter([images]))
    return tmp_path / "stimuli"


def gather(tmp_path, stimuli, name: str, shards: list[list[int]]):
    parts = {kind: write_kind(tmp_path, kind, shards) for kind in KINDS}
    gather_reconstructions("subj01", "40h", stimuli, parts, tmp_path / name, SETTINGS)
    return tmp_path / name


def test_folder_holds_what_the_shards_held(tmp_path, stimuli):
    folder = gather(tmp_path, stimuli, "recon_40h", [[3, 5], [11]])
    recons = read_recons(folder)
    assert recons.nsd_id.tolist() == [3, 5, 11]
    for kind in KINDS:
        assert np.array_equal(recons.images[kind], made_of(kind, [3, 5, 11]))
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert names == ["00003.png", "00005.png", "00011.png"]
    pixels = np.asarray(Image.open(folder / "images" / "00005.png"))
    assert np.array_equal(pixels, made_of("fused", [5])[0])
    record = recons.provenance
    assert (record["n_images"], record["seed"], record["threads"]) == (3, 42, 1)
    assert record["simulation"] is True
    assert record["models"] == MODELS_OF["lowlevel"] | MODELS_OF["fused"]
    assert (tmp_path.parent / record["stimuli"]) == stimuli, "relative to the folder of results"
    digest = hashlib.sha256((folder / "recons.h5").read_bytes()).hexdigest()
    assert record["sha256"]["recons.h5"] == digest
    assert set(record["sha256"]) == {"recons.h5", "montage.png", *(f"images/{n}" for n in names)}


def test_kinds_made_with_different_models_are_refused(tmp_path, stimuli):
    parts = {kind: write_kind(tmp_path, kind, [[3, 5]]) for kind in KINDS}
    other = {"bit_semantic": BIT, "generator": {**GENERATOR, "sha256": "trained anew"}}
    parts["fused"] = write_kind(tmp_path, "fused", [[3, 5]], models=other)
    with refused("inconsistent-inputs", "fused"):
        gather_reconstructions("subj01", "40h", stimuli, parts, tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_bytes_do_not_depend_on_the_number_of_shards(tmp_path, stimuli):
    first = gather(tmp_path, stimuli, "one", [[3, 5, 11]])
    second = gather(tmp_path, stimuli, "three", [[3], [5], [11]])
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 6
    for name in files:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_montage_shows_each_column(tmp_path, stimuli):
    folder = gather(tmp_path, stimuli, "recon_40h", [[3, 5, 11]])
    sheet = np.asarray(Image.open(folder / "montage.png").convert("RGB")).astype(float)
    cell = np.asarray(
        Image.fromarray(made_of("semantic", [3])[0]).resize((112, 112), Image.Resampling.BICUBIC)
    )
    left, top = 4 + 2 * 116, 40
    assert np.array_equal(sheet[top : top + 112, left : left + 112], cell)
    assert (sheet[:20] < 128).any()


def test_a_refined_run_shows_what_the_refiner_was_given(tmp_path, stimuli):
    parts = {kind: write_kind(tmp_path, kind, [[3, 5], [11]]) for kind in KINDS}
    for path in parts["fused"]:
        part = read_part(path, "fused", "subj01")
        write_part(path, replace(part, unrefined=255 - part.image))
    folder = tmp_path / "recon_40h"
    gather_reconstructions("subj01", "40h", stimuli, parts, folder, SETTINGS)
    recons, thinner = read_recons(folder), read_recons(folder, 2)
    assert list(recons.images) == list(KINDS)
    assert np.array_equal(recons.images["fused"], made_of("fused", [3, 5, 11]))
    assert np.array_equal(recons.unrefined, 255 - made_of("fused", [3, 5, 11]))
    assert np.array_equal(thinner.unrefined, recons.unrefined[::2])
    pixels = np.asarray(Image.open(folder / "images" / "00005.png"))
    assert np.array_equal(pixels, made_of("fused", [5])[0])
    sheet = np.asarray(Image.open(folder / "montage.png").convert("RGB"))
    for column, image in ((3, recons.unrefined[0]), (4, recons.images["fused"][0])):
        cell = Image.fromarray(image).resize((112, 112), Image.Resampling.BICUBIC)
        left = 4 + column * 116
        assert np.array_equal(sheet[40:152, left : left + 112], np.asarray(cell))


def test_lowlevel_images_alone_make_a_folder(tmp_path, stimuli):
    parts = {"lowlevel": write_kind(tmp_path, "lowlevel", [[3, 5], [11]])}
    folder = tmp_path / "recon_1h_lowlevel"
    gather_reconstructions("subj01", "1h", stimuli, parts, folder, SETTINGS)
    recons = read_recons(folder)
    assert list(recons.images) == ["lowlevel"] and recons.nsd_id.tolist() == [3, 5, 11]
    pixels = np.asarray(Image.open(folder / "images" / "00005.png"))
    assert np.array_equal(pixels, made_of("lowlevel", [5])[0])
    with Image.open(folder / "montage.png") as sheet:
        width = sheet.width
    assert width == 2 * (2 * 116 + 12) + 4, "two columns: seen and low-level"


def test_kinds_that_disagree_are_refused(tmp_path, stimuli):
    parts = {kind: write_kind(tmp_path, kind, [[3, 5]]) for kind in KINDS}
    short = {**parts, "lowlevel": write_kind(tmp_path, "lowlevel", [[3], [4]])}
    with refused("inconsistent-inputs", "lowlevel shards of subj01, run 40h", "the 2 images"):
        gather_reconstructions("subj01", "40h", stimuli, short, tmp_path / "r", SETTINGS)
    other = {**parts, "semantic": write_kind(tmp_path, "semantic", [[3, 5]], seed=7)}
    with refused("inconsistent-inputs", "semantic shards of subj01"):
        gather_reconstructions("subj01", "40h", stimuli, other, tmp_path / "r", SETTINGS)
    assert not (tmp_path / "r").exists()


def test_unfinished_or_changed_folders_are_refused(tmp_path, stimuli):
    folder = gather(tmp_path, stimuli, "recon_40h", [[3, 5]])
    picture = folder / "images" / "00003.png"
    kept = picture.read_bytes()
    picture.write_bytes(kept[:-1])
    with refused("checksum", "00003.png"):
        read_recons(folder)
    picture.unlink()
    with refused("missing-file", "00003.png", "no file"):
        read_recons(folder)
    picture.write_bytes(kept)
    read_recons(folder)
    record = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps({**record, "n_images": 3}))
    with refused("inconsistent-inputs", "3"):
        read_recons(folder)
    (folder / "provenance.json").unlink()
    with refused("missing-file", "provenance.json"):
        read_recons(folder)


def test_a_recorded_subject_says_so_in_a_simulation_s_configuration(tmp_path, stimuli, monkeypatch):
    titles = []
    draw = module.draw_montage
    monkeypatch.setattr(
        module, "draw_montage", lambda shown, title: titles.append(title) or draw(shown, title)
    )
    parts = {kind: write_kind(tmp_path, kind, [[3, 5, 11]]) for kind in KINDS}
    for recorded in (False, True):
        out = tmp_path / f"out_{recorded}"
        gather_reconstructions("subj01", "1h", stimuli, parts, out, SETTINGS, recorded)
        assert read_recons(out).provenance["simulation"] is not recorded
    assert ["simulation" in title for title in titles] == [True, False]
    assert ["recorded" in title for title in titles] == [False, True]
