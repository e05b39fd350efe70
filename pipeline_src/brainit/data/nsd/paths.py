"""Keys of NSD's files (NSD manual): paths below the root of a bucket, folder or simulation."""

from brainit.core.errors import PipelineError
from brainit.core.settings import NsdSettings

HEMISPHERES = ("lh", "rh")
"""Hemisphere 0 and 1 of every voxel table."""

EXPDESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIM_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
STIMULI = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
COCO_ARCHIVE = "unlabeled2017.zip"
_SYNTHETIC = "nsddata/experiments/nsdsynthetic"
SYNTHETIC_DESIGN = f"{_SYNTHETIC}/nsdsynthetic_expdesign.mat"
SYNTHETIC_CLASSES = f"{_SYNTHETIC}/nsdsyntheticimageinformation.csv"
_SYNTHETIC_IMAGES = "nsddata_stimuli/stimuli/nsdsynthetic"
SYNTHETIC_STIMULI = f"{_SYNTHETIC_IMAGES}/nsdsynthetic_stimuli.hdf5"
IMAGERY_FRAMES = "nsddata_stimuli/stimuli/nsdimagery/allstim"


def imagery_events(subject: str, run: str) -> str:
    """Return the key of the trial table of a run of NSD-Imagery, such as visA."""
    return f"nsddata/bdata/nsdimagery/nsdimagery_{subject}_{run}.tsv"


def imagery_betas(subject: str, nsd: NsdSettings) -> list[str]:
    """Return the keys of the betas of NSD-Imagery's session in `nsd.space`."""
    folder = f"nsddata_betas/ppdata/{subject}/{nsd.space}/nsdimagery{nsd.betas_version}"
    if nsd.space == "func1pt8mm":
        suffix = {"hdf5": "hdf5", "nifti": "nii.gz"}[nsd.volume_format]
        return [f"{folder}/betas_nsdimagery.{suffix}"]
    return [f"{folder}/{side}.betas_nsdimagery.mgh" for side in HEMISPHERES]


def synthetic_colours(subject: str) -> str:
    """Return the key of NSD-synthetic's colour stimuli of `subject`."""
    return f"{_SYNTHETIC_IMAGES}/nsdsynthetic_colorstimuli_{subject}.hdf5"


def synthetic_betas(subject: str, version: str, hemisphere: str) -> str:
    """Return the key of the betas of NSD-synthetic's session, percent signal change."""
    folder = f"nsddata_betas/ppdata/{subject}/fsaverage/nsdsynthetic{version}"
    return f"{folder}/{hemisphere}.betas_nsdsynthetic.mgh"


def responses(subject: str) -> str:
    """Return the key of the behavioural table, one row per completed trial."""
    return f"nsddata/ppdata/{subject}/behav/responses.tsv"


def label(hemisphere: str, name: str) -> str:
    """Return the key of a label on fsaverage: `nsdgeneral` or `nsdgeneralRSC`."""
    return f"nsddata/freesurfer/fsaverage/label/{hemisphere}.{name}.mgz"


def pial(hemisphere: str) -> str:
    """Return the key of the pial surface of fsaverage."""
    return f"nsddata/freesurfer/fsaverage/surf/{hemisphere}.pial"


def volume_roi(subject: str, name: str) -> str:
    """Return the key of a region in the subject's func1pt8mm volume, such as `nsdgeneral`."""
    return f"nsddata/ppdata/{subject}/func1pt8mm/roi/{name}.nii.gz"


def ncsnr(subject: str, version: str, hemisphere: str) -> str:
    """Return the key of the noise-ceiling signal-to-noise ratio of each vertex."""
    return f"{_betas_folder(subject, version)}/{hemisphere}.ncsnr.mgh"


def volume_ncsnr(subject: str, version: str) -> str:
    """Return the key of the noise-ceiling signal-to-noise ratio in func1pt8mm."""
    return f"{_betas_folder(subject, version, 'func1pt8mm')}/ncsnr.nii.gz"


def betas(subject: str, version: str, hemisphere: str, session: int) -> str:
    """Return the key of the betas of one session (1-based), percent signal change."""
    return f"{_betas_folder(subject, version)}/{hemisphere}.betas_session{session:02d}.mgh"


def volume_betas(subject: str, version: str, session: int, volume_format: str) -> str:
    """Return the key of the func1pt8mm betas of one session (1-based), `hdf5` or `nifti`."""
    suffix = {"hdf5": "hdf5", "nifti": "nii.gz"}[volume_format]
    folder = _betas_folder(subject, version, "func1pt8mm")
    return f"{folder}/betas_session{session:02d}.{suffix}"


def session_betas(subject: str, nsd: NsdSettings, session: int) -> list[str]:
    """Return the keys of one session in `nsd.space`: two hemispheres or one volume."""
    if nsd.space == "func1pt8mm":
        return [volume_betas(subject, nsd.betas_version, session, nsd.volume_format)]
    return [betas(subject, nsd.betas_version, side, session) for side in HEMISPHERES]


def _betas_folder(subject: str, version: str, space: str = "fsaverage") -> str:
    return f"nsddata_betas/ppdata/{subject}/{space}/{version}"


def subject_number(subject: str) -> int:
    """Return the 1-based number of `subject`.

    Raises `PipelineError` for any name but subj01 to subj08.
    """
    number = subject.removeprefix("subj0")
    if number not in set("12345678"):
        raise PipelineError(
            "subject",
            "subj01 to subj08",
            subject,
            "name subj01 to subj08 in nsd.subjects",
            code="unknown-name",
        )
    return int(number)
