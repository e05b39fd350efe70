"""Write a tiny tree in NSD's formats, by nibabel, scipy and h5py alone."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
from PIL import Image
from scipy.io import savemat

VERSION = "betas_fithrf_GLMdenoise_RR"


@dataclass
class TinyNsd:
    """Sizes of the tree, and the values written to it."""

    root: Path
    subjects: tuple[str, ...] = ("subj01", "subj02")
    n_own: int = 16
    n_shared: int = 4
    n_repeats: int = 3
    n_sessions: int = 5
    n_vertices: int = 40
    side: int = 12
    seed: int = 0
    planned: dict[str, np.ndarray] = field(default_factory=dict)
    """1-based 73k ids in time order, by subject."""
    betas: dict[tuple[str, str, int], np.ndarray] = field(default_factory=dict)
    """Written betas of axes (trials, vertices), by subject, hemisphere and session."""
    in_mask: dict[str, np.ndarray] = field(default_factory=dict)
    stimuli: np.ndarray = field(default_factory=lambda: np.empty(0))
    run_of_trial: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def n_images(self) -> int:
        return self.n_shared + self.n_own * len(self.subjects) + 3

    @property
    def trials_per_session(self) -> int:
        return (self.n_own + self.n_shared) * self.n_repeats // self.n_sessions

    def path(self, key: str) -> Path:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def betas_path(self, subject: str, side: str, session: int) -> Path:
        folder = f"nsddata_betas/ppdata/{subject}/fsaverage/{VERSION}"
        return self.path(f"{folder}/{side}.betas_session{session:02d}.mgh")

    def label_path(self, side: str, name: str = "nsdgeneral") -> Path:
        return self.path(f"nsddata/freesurfer/fsaverage/label/{side}.{name}.mgz")

    def ncsnr_path(self, subject: str, side: str) -> Path:
        return self.path(f"nsddata_betas/ppdata/{subject}/fsaverage/{VERSION}/{side}.ncsnr.mgh")

    def responses_path(self, subject: str) -> Path:
        return self.path(f"nsddata/ppdata/{subject}/behav/responses.tsv")

    @property
    def expdesign_path(self) -> Path:
        return self.path("nsddata/experiments/nsd/nsd_expdesign.mat")

    @property
    def csv_path(self) -> Path:
        return self.path("nsddata/experiments/nsd/nsd_stim_info_merged.csv")

    @property
    def stimuli_path(self) -> Path:
        return self.path("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")

    @property
    def zip_path(self) -> Path:
        return self.path("coco/unlabeled2017.zip")


def write_mgh(path: Path, values: np.ndarray) -> None:
    """Write (frames, vertices) as NSD does: (vertices, 1, 1, frames), big-endian float32."""
    data = values.T[:, None, None, :].astype(">f4")
    data = data[..., 0] if len(values) == 1 else data  # nibabel wants it so
    nib.save(nib.MGHImage(data, np.eye(4)), path)


def write_tiny_nsd(root: Path, **sizes: int) -> TinyNsd:
    tree = TinyNsd(root, **sizes)
    rng = np.random.default_rng(tree.seed)
    _write_design(tree, rng)
    _write_surfaces(tree, rng)
    for subject in tree.subjects:
        _write_subject(tree, subject, rng)
    _write_images(tree, rng)
    return tree


def _write_design(tree: TinyNsd, rng: np.random.Generator) -> None:
    n_list = tree.n_shared + tree.n_own
    ids = rng.permutation(np.arange(1, tree.n_images + 1))
    shared = np.sort(ids[: tree.n_shared])
    own = ids[tree.n_shared :]
    n = tree.n_own
    subjectim = np.stack(
        [np.r_[shared, np.sort(own[k * n : (k + 1) * n])] for k in range(len(tree.subjects))]
    )
    order = rng.permutation(np.repeat(np.arange(1, n_list + 1), tree.n_repeats))
    pattern = np.zeros((tree.n_sessions, 12, 75), dtype=np.uint8)
    for session in range(tree.n_sessions):
        for k in range(tree.trials_per_session):
            pattern[session, k % 12, 2 + k // 12] = 1
    tree.run_of_trial = np.nonzero(pattern)[1] + 1
    savemat(
        tree.expdesign_path,
        {
            "masterordering": order[None].astype(np.uint16),
            "sharedix": shared[None].astype(np.uint32),
            "stimpattern": pattern,
            "subjectim": subjectim.astype(np.uint32),
            "basiccnt": np.zeros((3, tree.n_sessions)),
        },
    )
    table = pd.DataFrame({"cocoId": np.arange(tree.n_images), "nsdId": np.arange(tree.n_images)})
    table["shared1000"] = np.isin(table["nsdId"] + 1, shared)
    for number, subject in enumerate(tree.subjects, 1):
        tree.planned[subject] = subjectim[number - 1][order - 1]
        for repeat in range(tree.n_repeats):
            table[f"subject{number}_rep{repeat}"] = 0
        seen: dict[int, int] = {}
        for trial, image in enumerate(tree.planned[subject], 1):
            repeat = seen.get(int(image), 0)
            table.loc[int(image) - 1, f"subject{number}_rep{repeat}"] = trial
            seen[int(image)] = repeat + 1
    table.to_csv(tree.csv_path)


def _write_surfaces(tree: TinyNsd, rng: np.random.Generator) -> None:
    for side in ("lh", "rh"):
        general = np.full(tree.n_vertices, -1.0, dtype=np.float32)
        general[5:20] = 1
        general[20:25] = 0
        rsc = np.zeros(tree.n_vertices, dtype=np.float32)
        rsc[30:33] = 1
        tree.in_mask[side] = (general == 1) | (rsc == 1)
        for name, values in (("nsdgeneral", general), ("nsdgeneralRSC", rsc)):
            image = nib.MGHImage(values[:, None, None], np.eye(4))
            nib.save(image, tree.label_path(side, name))
        path = tree.path(f"nsddata/freesurfer/fsaverage/surf/{side}.pial")
        places = rng.normal(size=(tree.n_vertices, 3)).astype(np.float32)
        nib.freesurfer.write_geometry(path, places, np.array([[0, 1, 2]]))


def _write_subject(tree: TinyNsd, subject: str, rng: np.random.Generator) -> None:
    n = tree.trials_per_session
    rows = []
    for trial, image in enumerate(tree.planned[subject]):
        rows.append((int(subject[-1]), trial // n + 1, tree.run_of_trial[trial], 1, image, 1))
    columns = ["SUBJECT", "SESSION", "RUN", "TRIAL", "73KID", "10KID"]
    pd.DataFrame(rows, columns=columns).to_csv(tree.responses_path(subject), sep="\t", index=False)
    signal = rng.normal(size=(tree.n_images + 1, 2, tree.n_vertices))
    for number, side in enumerate(("lh", "rh")):
        write_mgh(tree.ncsnr_path(subject, side), rng.uniform(0.1, 1, (1, tree.n_vertices)))
        for session in range(1, tree.n_sessions + 1):
            images = tree.planned[subject][(session - 1) * n : session * n]
            values = 2 * signal[images, number] + rng.normal(size=(n, tree.n_vertices)) + session
            values[:, 7] = 1.25  # no variance
            if session == 2 and subject == "subj02":
                values[3, 9] = np.nan
            values = values.astype(np.float32)
            tree.betas[subject, side, session] = values
            write_mgh(tree.betas_path(subject, side, session), values)


def _write_images(tree: TinyNsd, rng: np.random.Generator) -> None:
    shape = (tree.n_images, tree.side, tree.side, 3)
    tree.stimuli = rng.integers(0, 256, shape, dtype=np.uint8)
    with h5py.File(tree.stimuli_path, "w") as handle:
        handle.create_dataset("imgBrick", data=tree.stimuli, chunks=(1, *shape[1:]))
    with zipfile.ZipFile(tree.zip_path, "w") as archive:
        for number in (5, 3, 8, 1):
            pixels = np.full((20, 30, 3), number * 20, dtype=np.uint8)
            pixels[:, 5:25] += 50
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
            archive.writestr(f"unlabeled2017/{number:012d}.jpg", buffer.getvalue())
