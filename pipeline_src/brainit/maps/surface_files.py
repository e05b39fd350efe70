"""Maps on the cortical surface: GIFTI, a file per hemisphere, and CIFTI, one file for both.

Values outside the mask are NaN, labels outside it are 0. Names of structures are those of the
Connectome Workbench.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import cifti2, gifti
from numpy.typing import NDArray

from brainit.maps.brain_maps import Label, LabelMap, ScalarMap, SurfacePlaces

_SIDES = ("L", "R")
_GIFTI_STRUCTURES = ("CortexLeft", "CortexRight")
_CIFTI_STRUCTURES = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
NO_LABEL = "???"
"""Name of label 0, as FreeSurfer and Workbench have it."""
_CLEAR = (1.0, 1.0, 1.0, 0.0)


def write_gifti(
    folder: Path, subject: str, brain_map: ScalarMap | LabelMap, places: SurfacePlaces, note: str
) -> list[Path]:
    """Write SUBJECT.L.NAME.func.gii and SUBJECT.R.NAME.func.gii (labels: .label.gii); return both.

    `note` says what the data are, in each file's metadata.
    """
    is_label = isinstance(brain_map, LabelMap)
    paths = []
    for side, structure in enumerate(_GIFTI_STRUCTURES):
        if isinstance(brain_map, LabelMap):
            values, intent = places.on_side(side, brain_map.labels, 0), "NIFTI_INTENT_LABEL"
        else:
            values, intent = places.on_side(side, brain_map.values, np.nan), "NIFTI_INTENT_NONE"
        array = gifti.GiftiDataArray(values, intent, meta={"Name": brain_map.name})
        about = {
            "AnatomicalStructurePrimary": structure,
            "Description": f"{brain_map.about} {note}",
            "Space": places.space,
        }
        table = _gifti_table(brain_map.table) if isinstance(brain_map, LabelMap) else None
        image = gifti.GiftiImage(meta=gifti.GiftiMetaData(about), labeltable=table, darrays=[array])
        ending = "label" if is_label else "func"
        paths.append(folder / f"{subject}.{_SIDES[side]}.{brain_map.name}.{ending}.gii")
        nib.save(image, paths[-1])
    return paths


def _gifti_table(labels: tuple[Label, ...]) -> gifti.GiftiLabelTable:
    table = gifti.GiftiLabelTable()
    for number, name, colour in [(0, NO_LABEL, _CLEAR), *map(_entry, labels)]:
        label = gifti.GiftiLabel(number, *colour)
        label.label = name
        table.labels.append(label)
    return table


def _entry(label: Label) -> tuple[int, str, tuple[float, float, float, float]]:
    return label.number, label.name, (*label.colour, 1.0)


def write_cifti(
    folder: Path, subject: str, brain_map: ScalarMap | LabelMap, places: SurfacePlaces, note: str
) -> Path:
    """Write SUBJECT.NAME.dscalar.nii (labels: .dlabel.nii) with the masked vertices; return it.

    `note` says what the data are, in the map's metadata.
    """
    order, models = _brain_models(places)
    about = {"Description": f"{brain_map.about} {note}"}
    if isinstance(brain_map, LabelMap):
        entries = [(0, NO_LABEL, _CLEAR), *map(_entry, brain_map.table)]
        table = {number: (name, colour) for number, name, colour in entries}
        rows = cifti2.LabelAxis([brain_map.name], [table], [about])
        values, kind = brain_map.labels.astype(np.float32), "LABELS"
    else:
        rows = cifti2.ScalarAxis([brain_map.name], [about])
        values, kind = brain_map.values, "SCALARS"
    image = cifti2.Cifti2Image(values[None, order].astype(np.float32), header=(rows, models))
    image.nifti_header.set_intent(f"NIFTI_INTENT_CONNECTIVITY_DENSE_{kind}")
    ending = "dlabel" if kind == "LABELS" else "dscalar"
    path = folder / f"{subject}.{brain_map.name}.{ending}.nii"
    nib.save(image, path)
    return path


def _brain_models(places: SurfacePlaces) -> tuple[NDArray[np.int64], cifti2.BrainModelAxis]:
    """Return the order of the voxels in a CIFTI file, left first and ascending, and its axis."""
    order = np.lexsort((places.vertex, places.hemisphere))
    parts = []
    for side, structure in enumerate(_CIFTI_STRUCTURES):
        vertices = np.sort(places.vertex[places.hemisphere == side])
        if len(vertices):
            part = cifti2.BrainModelAxis.from_surface(vertices, places.n_vertices, structure)
            parts.append(part)
    models = parts[0]
    for part in parts[1:]:
        models = models + part
    return order, models
