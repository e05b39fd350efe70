"""Keys of NSD's files below its root (NSD manual), in the bucket, on disk and as simulated."""

from brainit.core.errors import PipelineError

HEMISPHERES = ("lh", "rh")
"""Hemisphere 0 and 1 of every voxel table."""

EXPDESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIM_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
STIMULI = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
COCO_ARCHIVE = "unlabeled2017.zip"


def responses(subject: str) -> str:
    """Return the key of the behavioural table, one row per trial that was run."""
    return f"nsddata/ppdata/{subject}/behav/responses.tsv"


def label(hemisphere: str, name: str) -> str:
    """Return the key of a label on fsaverage: `nsdgeneral` or `nsdgeneralRSC`."""
    return f"nsddata/freesurfer/fsaverage/label/{hemisphere}.{name}.mgz"


def pial(hemisphere: str) -> str:
    """Return the key of the pial surface of fsaverage."""
    return f"nsddata/freesurfer/fsaverage/surf/{hemisphere}.pial"


def ncsnr(subject: str, version: str, hemisphere: str) -> str:
    """Return the key of the noise-ceiling signal-to-noise ratio of each vertex."""
    return f"{_betas_folder(subject, version)}/{hemisphere}.ncsnr.mgh"


def betas(subject: str, version: str, hemisphere: str, session: int) -> str:
    """Return the key of the betas of one session (1-based), percent signal change."""
    return f"{_betas_folder(subject, version)}/{hemisphere}.betas_session{session:02d}.mgh"


def _betas_folder(subject: str, version: str) -> str:
    return f"nsddata_betas/ppdata/{subject}/fsaverage/{version}"


def subject_number(subject: str) -> int:
    """Return the 1-based number of `subject`.

    Raises `PipelineError` for another form than subj01 to subj08.
    """
    number = subject.removeprefix("subj0")
    if number not in set("12345678"):
        raise PipelineError("subject", "subj01 to subj08", subject, "correct nsd.subjects")
    return int(number)
