"""Write the maps of subjects into a folder, in the formats of their spaces."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.core.files import atomic_path, write_text
from brainit.data.nsd import paths as nsd_paths
from brainit.data.nsd import volume
from brainit.data.recons import PROVENANCE_NAME
from brainit.data.seen import stimuli_of, trials_of
from brainit.maps.brain_maps import (
    LabelMap,
    Places,
    ScalarMap,
    SurfacePlaces,
    VolumePlaces,
    is_on_surface,
    surface_places,
    volume_places,
)
from brainit.maps.subject_maps import MAPS, SubjectFiles
from brainit.maps.surface_files import write_cifti, write_gifti
from brainit.maps.volume_files import write_label_table, write_nifti

SURFACE_FORMATS = ("gifti", "cifti")
VOLUME_FORMATS = ("nifti",)
SIMULATED = "SIMULATION: no conclusion about brains holds."
MEASURED = "Made with Brain-IT."


@dataclass(frozen=True)
class MapChoice:
    """Which maps are written, from which models, and where the voxels lie.

    `models` is the folder of a pool's models, None for pool all's. `references` are NIfTI files by
    subject, needed for volumes other than NSD's; `space` is the surface of a lab's own vertices.
    """

    maps: Sequence[str] = tuple(MAPS)
    formats: Sequence[str] = ()
    models: Path | None = None
    references: Mapping[str, Path] = field(default_factory=dict)
    space: str | None = None
    weights_dir: Path | None = None


def export_maps(
    results: Path, subjects: Sequence[str], out: Path, choice: MapChoice | None = None
) -> list[Path]:
    """Write the maps of subjects of a folder of results into `out`, which must not exist.

    The folder is written atomically. Without `subjects`, they are those with a finished run.
    Returns the maps' files. Raises `PipelineError` where there is no run, a file is missing, or the
    models do not know a subject.
    """
    if out.exists():
        fix = f"remove {out}, or give a folder that does not exist"
        raise PipelineError(out, "a new folder", "an existing one", fix, code="invalid-argument")
    runs = sorted(results.glob(f"*/recon_*/{PROVENANCE_NAME}"))
    if not runs:
        expected, fix = "a folder of results with a finished run", "run snakemake first"
        raise PipelineError(results, expected, "none", fix, code="missing-file")
    names = subjects or list(dict.fromkeys(path.parts[-3] for path in runs))
    with atomic_path(out) as folder:
        folder.mkdir(parents=True)
        written = []
        for subject in names:
            of_subject = [path for path in runs if path.parts[-3] == subject]
            provenance = json.loads((of_subject or runs)[0].read_text(encoding="utf-8"))
            is_simulated = bool(provenance["simulation"])
            written += _export(results, subject, folder, choice or MapChoice(), is_simulated)
    return [out / path.name for path in written]


def _export(
    results: Path, subject: str, folder: Path, choice: MapChoice, simulated: bool
) -> list[Path]:
    own = results / subject
    files = SubjectFiles(
        subject,
        voxels=own / "betas" / "voxels.safetensors",
        betas=own / "betas" / "betas.npy",
        trials=trials_of(results, subject),
        stimuli=stimuli_of(results, subject),
        models=choice.models or results / "group" / "all" / "main",
        weights_dir=choice.weights_dir or results / ".store" / "weights",
    )
    places = _places(results, files, choice)
    maps = [found for name in choice.maps for found in MAPS[name](files)]
    return write_maps(folder, subject, maps, places, choice.formats, simulated=simulated)


def _places(results: Path, files: SubjectFiles, choice: MapChoice) -> Places:
    """Return the places of a subject's voxels; NSD's volume is that of its mask in the store."""
    table = files.table
    if is_on_surface(table):
        return surface_places(table, choice.space)
    reference = choice.references.get(files.subject)
    if reference is None and table.attributes["space"] == volume.SPACE:
        key = nsd_paths.volume_roi(files.subject, table.attributes["mask"])
        reference = results / ".store" / "nsd" / key
    if reference is None or not reference.is_file():
        raise PipelineError(
            f"maps of {files.subject}",
            "a NIfTI file in the space of its betas",
            f"no file {reference}" if reference else "none",
            f"pass --reference {files.subject}=FILE.nii.gz",
            code="missing-file",
        )
    return volume_places(table, reference)


def write_maps(
    folder: Path,
    subject: str,
    maps: Sequence[ScalarMap | LabelMap],
    places: Places,
    formats: Sequence[str] = (),
    *,
    simulated: bool,
) -> list[Path]:
    """Write the maps of a subject into `folder`, and SUBJECT.maps.json; return the maps' files.

    `formats` are those of the space where none are named. A map of labels gets its table as
    SUBJECT.NAME.tsv too. Raises `PipelineError` for a format of the other kind of space.
    """
    known = SURFACE_FORMATS if isinstance(places, SurfacePlaces) else VOLUME_FORMATS
    for name in formats:
        if name not in known:
            fix = f"pass --formats {' '.join(known)}"
            expected = f"{' or '.join(known)}, as the voxels are in {places.space}"
            raise PipelineError("--formats", expected, name, fix, code="invalid-argument")
    note = SIMULATED if simulated else MEASURED
    paths: list[Path] = []
    about: dict[str, dict[str, Any]] = {}
    for brain_map in maps:
        files = _write(folder, subject, brain_map, places, tuple(formats) or known, note)
        if isinstance(brain_map, LabelMap):
            write_label_table(folder / f"{subject}.{brain_map.name}.tsv", brain_map.table)
        unit = brain_map.unit if isinstance(brain_map, ScalarMap) else "label"
        about[brain_map.name] = {
            "about": brain_map.about,
            "unit": unit,
            "files": [path.name for path in files],
        }
        paths += files
    content = {"subject": subject, "space": places.space, "simulation": simulated, "maps": about}
    write_text(folder / f"{subject}.maps.json", json.dumps(content, indent=1) + "\n")
    return paths


def _write(
    folder: Path,
    subject: str,
    brain_map: ScalarMap | LabelMap,
    places: Places,
    formats: Sequence[str],
    note: str,
) -> list[Path]:
    if isinstance(places, VolumePlaces):
        return [write_nifti(folder, subject, brain_map, places, note)]
    paths = []
    if "gifti" in formats:
        paths += write_gifti(folder, subject, brain_map, places, note)
    if "cifti" in formats:
        paths.append(write_cifti(folder, subject, brain_map, places, note))
    return paths
