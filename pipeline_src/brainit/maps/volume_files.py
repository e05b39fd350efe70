"""Maps in a subject's volume: NIfTI, and the table of a map's labels as in BIDS."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from brainit.maps.brain_maps import Label, LabelMap, ScalarMap, VolumePlaces

_SCANNER = 1
"""NIfTI's code of coordinates in the subject's own space."""
_DESCRIPTION_BYTES = 79


def write_nifti(
    folder: Path, subject: str, brain_map: ScalarMap | LabelMap, places: VolumePlaces, note: str
) -> Path:
    """Write SUBJECT.NAME.nii.gz, NaN (labels: 0) outside the mask; return it.

    `note` says what the data are, in the header's description.
    """
    if isinstance(brain_map, LabelMap):
        volume = places.in_volume(brain_map.labels, 0)
    else:
        volume = places.in_volume(brain_map.values, np.nan)
    image = nib.Nifti1Image(volume, places.affine)
    image.set_sform(places.affine, code=_SCANNER)
    image.set_qform(places.affine, code=_SCANNER)
    image.header.set_xyzt_units("mm")
    text = f"{brain_map.name}: {note}".encode("ascii", "replace")
    image.header["descrip"] = text[:_DESCRIPTION_BYTES]
    path = folder / f"{subject}.{brain_map.name}.nii.gz"
    nib.save(image, path)
    return path


def write_label_table(path: Path, labels: tuple[Label, ...]) -> None:
    """Write a table of labels (.tsv) with BIDS' columns index, name, color."""
    rows = [(label.number, label.name, to_hex(label.colour)) for label in labels]
    pd.DataFrame(rows, columns=["index", "name", "color"]).to_csv(path, sep="\t", index=False)
