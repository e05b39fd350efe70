"""Settings of the whole run and its folders."""

from typing import Annotated, Literal

from pydantic import Field

from brainit.core.settings.base import Positive, Section


class RunSettings(Section):
    """The whole run."""

    seed: int = 42
    """Seed of the run; each random stream is derived from it and the stream's name."""
    threads: Positive = 8
    """Torch threads of a step; same bytes only with the same number. Images: always one."""
    device: Literal["cpu", "cuda", "auto"] = "auto"
    """Device of the torch steps; auto uses a GPU if there is one."""
    tf32: Literal["off", "convolutions", "all"] = "convolutions"
    """Float32 products that a GPU computes in TF32, not InfoNCE's; C: convolutions."""
    simulation: bool = False
    """True if the data are simulated; every table and figure then says so."""
    checkpoint_minutes: Positive = 10
    """Minutes between checkpoints of a training; changing it reruns nothing."""
    max_hours: Positive | None = None
    """Hours after which a training job writes a checkpoint and ends; the next job continues."""
    tensorboard: bool = False
    """True writes event files beside each training's history; needs the extra `tensorboard`."""
    loader_threads: Annotated[int, Field(ge=0)] | None = None
    """Threads that prepare a training's batches ahead; null: 4 for a GPU, none for a CPU."""
    submit_downloads: bool = False
    """On a cluster, true submits downloads as jobs; false runs them where Snakemake runs."""
    container: str = ""
    """Container image of each job with `--software-deployment-method apptainer`; empty for none."""


class PathSettings(Section):
    """Folders and addresses."""

    results: str = "results"
    """Folder of the results."""
    store: str = "results/.store"
    """Folder of downloads, weights and work files; may be on a scratch disk."""
    source: str = "https://natural-scenes-dataset.s3.amazonaws.com"
    """Root of NSD's file tree (https:// or file://); a simulation ignores it."""
    coco_source: str = "http://images.cocodataset.org/zips"
    """URL of the folder that holds unlabeled2017.zip."""
