"""Maps of made-up voxels, opened by nibabel and nilearn, with every value at its place."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine
from nilearn.datasets import load_fsaverage
from nilearn.image import load_img
from nilearn.maskers import NiftiLabelsMasker, SurfaceLabelsMasker
from nilearn.surface import SurfaceImage
from tests.model_files import write_models
from tests.refusals import refused

from brainit.commands.program import run
from brainit.core.artifacts import read_artifact
from brainit.core.files import sha256_of
from brainit.data.voxels import write_voxels
from brainit.maps.export import MapChoice, export_maps

N_VOXELS = {"subj01": 5, "subj02": 6}
VERTEX = np.array([3, 10, 10_241, 3, 77, 4], dtype=np.int64)
HEMISPHERE = np.array([0, 0, 0, 1, 1, 1], dtype=np.int64)
CEILING = np.array([1.5, 20, 33, 47, 58, 64], dtype=np.float32)
SHAPE = (7, 6, 5)
AFFINE = np.array([[1.8, 0, 0, -5], [0, 1.8, 0, -4], [0, 0, 1.8, 3], [0, 0, 0, 1]])
CELLS = np.array([[0, 0, 0], [6, 0, 0], [1, 2, 3], [2, 2, 3], [6, 5, 4], [3, 3, 3]])
FAST = ("noise_ceiling", "clusters")


def write_results(root: Path, space: str, vertex: np.ndarray = VERTEX) -> Path:
    """Write what maps of ceiling and clusters read: voxel tables, models, provenance of a run."""
    for subject, n in N_VOXELS.items():
        number = np.ravel_multi_index(tuple(CELLS.T), SHAPE, order="F")
        is_volume = space not in ("fsaverage5", "lab surface")
        columns = {
            "vertex": (number if is_volume else vertex)[:n].astype(np.int64),
            "hemisphere": HEMISPHERE[:n],
            "position_mm": apply_affine(AFFINE, CELLS).astype(np.float32)[:n],
            "noise_ceiling": CEILING[:n],
        }
        path = root / subject / "betas" / "voxels.safetensors"
        write_voxels(path, subject, columns, space, mask="nsdgeneral")
    write_models(root / "group" / "all" / "main", N_VOXELS)
    record = root / "subj02" / "recon_1h" / "provenance.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"simulation": True}))
    return root


def write_reference(path: Path, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones(SHAPE, dtype=np.int16), affine), path)
    return path


def clusters_of(root: Path, subject: str) -> np.ndarray:
    path = root / "group" / "all" / "main" / "clusters" / "clusters.safetensors"
    clusters = read_artifact(path, "clusters")["voxel_cluster"]
    return clusters[:5] if subject == "subj01" else clusters[5:]


def test_surface_maps_have_each_value_at_its_vertex(tmp_path: Path) -> None:
    root, out = write_results(tmp_path / "results", "fsaverage5"), tmp_path / "maps"
    words = ["export-maps", str(root), "--out", str(out), "--maps", *FAST]
    run([*words, "--subjects", "subj01", "subj02"])
    for subject, n in N_VOXELS.items():
        cluster = clusters_of(root, subject)
        for side, letter in enumerate("LR"):
            image = nib.load(out / f"{subject}.{letter}.noise_ceiling.func.gii")
            values = image.darrays[0].data
            labels = nib.load(out / f"{subject}.{letter}.clusters.label.gii")
            expected, numbers = np.full(10_242, np.nan), np.zeros(10_242)
            for voxel in range(n):
                if HEMISPHERE[voxel] == side:
                    expected[VERTEX[voxel]] = CEILING[voxel]
                    numbers[VERTEX[voxel]] = cluster[voxel] + 1
            np.testing.assert_array_equal(values, expected.astype(np.float32))
            np.testing.assert_array_equal(labels.darrays[0].data, numbers)
            structure = ("CortexLeft", "CortexRight")[side]
            assert image.meta["AnatomicalStructurePrimary"] == structure
            assert "SIMULATION" in image.meta["Description"]
            named = labels.labeltable.get_labels_as_dict()
            assert named == {0: "???", 1: "cluster 0", 2: "cluster 1"}


def test_nilearn_reads_surface_maps_with_their_table(tmp_path: Path) -> None:
    root, out = write_results(tmp_path / "results", "fsaverage5"), tmp_path / "maps"
    export_maps(root, ["subj02"], out, MapChoice(maps=FAST, formats=("gifti",)))
    assert not list(out.glob("*.nii"))
    mesh = load_fsaverage("fsaverage5")["inflated"]
    paths = [
        {side: out / f"subj02.{side[0].upper()}.{name}.gii" for side in ("left", "right")}
        for name in ("noise_ceiling.func", "clusters.label")
    ]
    ceiling, labels = (SurfaceImage(mesh=mesh, data=files) for files in paths)
    for part in ceiling.data.parts:
        ceiling.data.parts[part] = np.nan_to_num(ceiling.data.parts[part])
    table = pd.read_csv(out / "subj02.clusters.tsv", sep="\t")
    masker = SurfaceLabelsMasker(labels_img=labels, lut=table, standardize=None)
    means = np.asarray(masker.fit_transform(ceiling)).ravel()
    cluster = clusters_of(root, "subj02")
    np.testing.assert_allclose(means, [CEILING[cluster == k].mean() for k in (0, 1)], rtol=1e-6)


def test_cifti_maps_hold_both_hemispheres_and_no_other_vertex(tmp_path: Path) -> None:
    vertex = VERTEX[[2, 0, 1, 4, 3, 5]]
    root = write_results(tmp_path / "results", "fsaverage5", vertex)
    export_maps(root, ["subj02"], tmp_path / "maps", MapChoice(maps=FAST, formats=("cifti",)))
    scalars = nib.load(tmp_path / "maps" / "subj02.noise_ceiling.dscalar.nii")
    labels = nib.load(tmp_path / "maps" / "subj02.clusters.dlabel.nii")
    assert scalars.nifti_header.get_intent()[0] == "ConnDenseScalar"
    assert labels.nifti_header.get_intent()[0] == "ConnDenseLabel"
    models = scalars.header.get_axis(1)
    sides = {"CIFTI_STRUCTURE_CORTEX_LEFT": 0, "CIFTI_STRUCTURE_CORTEX_RIGHT": 1}
    found = {}
    for name, part, model in models.iter_structures():
        assert model.nvertices[name] == 10_242 and (np.diff(model.vertex) > 0).all()
        for k, value, number in zip(
            model.vertex, scalars.get_fdata()[0, part], labels.get_fdata()[0, part], strict=True
        ):
            found[sides[name], k] = (value, number)
    cluster = clusters_of(root, "subj02")
    expected = {
        (HEMISPHERE[v], vertex[v]): (np.float64(CEILING[v]), cluster[v] + 1) for v in range(6)
    }
    assert found == expected
    table = labels.header.get_axis(0).label[0]
    assert table[0] == ("???", (1.0, 1.0, 1.0, 0.0)) and table[2][0] == "cluster 1"


def test_volume_maps_have_each_value_in_its_cell(tmp_path: Path) -> None:
    root, out = write_results(tmp_path / "results", "func1pt8mm"), tmp_path / "maps"
    key = "nsddata/ppdata/subj02/func1pt8mm/roi/nsdgeneral.nii.gz"
    write_reference(root / ".store" / "nsd" / key)
    export_maps(root, ["subj02"], out, MapChoice(maps=FAST))
    image, labels = (load_img(out / f"subj02.{name}.nii.gz") for name in FAST)
    np.testing.assert_allclose(image.affine, AFFINE, rtol=1e-6)
    cluster = clusters_of(root, "subj02")
    for voxel, (x, y, z) in enumerate(CELLS):
        assert image.get_fdata()[x, y, z] == CEILING[voxel]
        assert labels.get_fdata()[x, y, z] == cluster[voxel] + 1
    assert np.isfinite(image.get_fdata()).sum() == (labels.get_fdata() > 0).sum() == len(CELLS)
    assert b"SIMULATION" in image.header["descrip"].tobytes()
    table = pd.read_csv(out / "subj02.clusters.tsv", sep="\t")
    masker = NiftiLabelsMasker(labels_img=labels, lut=table, standardize=None)
    means = np.ravel(
        masker.fit_transform(nib.Nifti1Image(np.nan_to_num(image.get_fdata()), AFFINE))
    )
    np.testing.assert_allclose(means, [CEILING[cluster == k].mean() for k in (0, 1)], rtol=1e-6)


def test_a_lab_s_volume_needs_a_reference_whose_cells_are_its_voxels(tmp_path: Path) -> None:
    root, out = write_results(tmp_path / "results", "lab volume"), tmp_path / "maps"
    with refused("missing-file", "subj02", "--reference"):
        export_maps(root, ["subj02"], out, MapChoice(maps=FAST))
    shifted = AFFINE + np.array([[0, 0, 0, 0.9], [0] * 4, [0] * 4, [0] * 4])
    other = write_reference(tmp_path / "other.nii.gz", shifted)
    with refused("inconsistent-inputs", str(other), "0.50"):
        export_maps(root, ["subj02"], out, MapChoice(maps=FAST, references={"subj02": other}))
    assert not out.exists()
    own = write_reference(tmp_path / "own.nii.gz")
    words = ["export-maps", str(root), "--out", str(out), "--maps", *FAST]
    run([*words, "--reference", f"subj02={own}"])
    values = load_img(out / "subj02.noise_ceiling.nii.gz").get_fdata()
    assert values[tuple(CELLS.T)].tolist() == CEILING.tolist()


def test_a_volume_that_numbers_cells_differently_is_refused(tmp_path: Path) -> None:
    root = write_results(tmp_path / "results", "func1pt8mm")
    reference = tmp_path / "longer.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((8, 6, 5), dtype=np.int16), AFFINE), reference)
    with refused("inconsistent-inputs", str(reference)):
        choice = MapChoice(maps=FAST, references={"subj02": reference})
        export_maps(root, ["subj02"], tmp_path / "maps", choice)


def test_a_lab_s_vertices_need_their_surface(tmp_path: Path) -> None:
    root, out = write_results(tmp_path / "results", "lab surface"), tmp_path / "maps"
    with refused("missing-data", "lab surface", "--space"):
        export_maps(root, [], out, MapChoice(maps=FAST))
    with refused("inconsistent-inputs", "10241", "fsaverage4"):
        export_maps(root, [], out, MapChoice(maps=FAST, space="fsaverage4"))
    export_maps(root, [], out, MapChoice(maps=FAST, space="fsaverage"))
    assert len(nib.load(out / "subj02.L.noise_ceiling.func.gii").darrays[0].data) == 163_842
    assert not list(out.glob("subj01*")), "subj01 has no run"


def test_other_faults_are_named(tmp_path: Path) -> None:
    root, out = write_results(tmp_path / "results", "fsaverage5"), tmp_path / "maps"
    with refused("invalid-argument", "nifti", "fsaverage5"):
        export_maps(root, ["subj01"], out, MapChoice(maps=FAST, formats=("nifti",)))
    with refused("missing-file", "subj07"):
        export_maps(root, ["subj07"], out, MapChoice(maps=FAST))
    other = write_models(tmp_path / "other", {"subj01": 4})
    with refused("inconsistent-inputs", "subj01", "clusters.safetensors"):
        export_maps(root, ["subj01"], out, MapChoice(maps=FAST, models=other))
    with refused("missing-file", str(tmp_path / "none")):
        export_maps(tmp_path / "none", [], out)
    out.mkdir()
    with refused("invalid-argument", str(out)):
        export_maps(root, [], out)
    doubled = VERTEX.copy()
    doubled[1] = doubled[0]
    again = write_results(tmp_path / "again", "fsaverage5", doubled)
    with refused("duplicate-data", "subj02"):
        export_maps(again, [], tmp_path / "new", MapChoice(maps=FAST))


@pytest.mark.parametrize("space", ["fsaverage5", "func1pt8mm"])
def test_a_second_export_has_the_same_bytes(tmp_path: Path, space: str) -> None:
    root = write_results(tmp_path / "results", space)
    reference = write_reference(tmp_path / "volume.nii.gz")
    choice = MapChoice(maps=FAST, references={"subj02": reference})
    digests = [
        {path.name: sha256_of(path) for path in export_maps(root, [], tmp_path / name, choice)}
        for name in ("one", "two")
    ]
    assert digests[0] == digests[1] and len(digests[0]) == (6 if space == "fsaverage5" else 2)
