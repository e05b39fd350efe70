"""Flags of `brainit import-subject` for the open data sets, and the calls of their importers."""

import argparse
import logging
import math
import re
from pathlib import Path

from brainit.core.errors import PipelineError
from brainit.data.open.glmsingle import GlmsingleImport, import_glmsingle
from brainit.data.open.laion import LaionImport, import_laion
from brainit.data.open.laion_files import LaionBucket
from brainit.data.open.laion_tables import COMMIT, SPLITS_SOURCE
from brainit.data.open.mosaic import MosaicImport, import_mosaic
from brainit.data.open.plans import MOSAIC_SETS, laion_plan, mosaic_plan, whole_sets
from brainit.workflow.sources import is_remote

logger = logging.getLogger(__name__)

FORMATS = ("laion", "mosaic", "glmsingle")
_USED_BY = {
    "subject": ("bold5000", *FORMATS),
    "images": ("god", *FORMATS),
    "accept_terms": ("laion", "mosaic"),
    "sessions": ("laion",),
    "mask": FORMATS,
    "split": ("laion",),
    "pool": ("laion",),
    "splits": ("laion", "mosaic"),
    "splits_commit": ("laion",),
    "request_id": ("laion",),
    "keep_images_file": ("laion",),
    "accept_nsd_terms": ("mosaic",),
    "stimuli": ("mosaic",),
    "events": ("mosaic", "glmsingle"),
    "task": ("mosaic", "glmsingle"),
    "image_column": ("glmsingle",),
    "geometry": ("mosaic",),
    "show_images": ("laion",),
    "test_repeats": ("laion", "mosaic"),
    "seconds_per_trial": ("mosaic",),
    "connections": ("laion", "mosaic"),
}
"""Formats that use a flag; the others refuse it, since it would change nothing."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that the open data sets need."""
    add = parser.add_argument
    add("--accept-terms", action="store_true", help="I have read the data set's terms")
    add("--sessions", type=number_ranges, help="such as 1-3,7; default all that are released")
    add("--mask", action="append", help="region, or NIfTI file; several are joined")
    add("--split", default="tau", help="laion: tau, ood, cluster_k5_0 ..., random_0 ...")
    add("--pool", help="laion: pool of the split, default the subject's; or shared")
    add("--splits", help="folder of train/test lists; laion: or their address (default GitHub)")
    add("--splits-commit", default=COMMIT, help="laion: commit of the lists")
    add("--request-id", help="laion: your request id for the images (LAION_FMRI_REQUEST_ID)")
    add("--keep-images-file", action="store_true", help="laion: keep the file of all images")
    add("--accept-nsd-terms", action="store_true", help="mosaic: I have accepted NSD's terms")
    add("--stimuli", type=Path, help="mosaic: the data set's stiminfo.tsv")
    add("--events", type=Path, help="folder of BIDS events.tsv; mosaic: or nsd_expdesign.mat")
    add("--task", help="task of the events, as in the names of their files")
    add("--image-column", help="glmsingle: column of the events that names the image")
    add("--geometry", type=Path, help="mosaic: folder of fsLR 32k surfaces and vertex numbers")
    add("--show-images", action="store_true", help="laion: my terms let figures show the images")
    add("--test-repeats", type=int, help="use only the first N presentations of test images")
    add("--seconds-per-trial", type=float, help="mosaic: count times such as 1h by trials so long")
    add("--plan", action="store_true", help="print bytes, disk and hours; fetch nothing")
    add("--bandwidth", type=float, default=1000.0, help="of the plan: Mbit/s of the network")
    add("--connections", type=int, default=4, help="connections for one download (default 4)")


def require_used(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Raise `PipelineError` for a flag that the format does not use, and for numbers below 1."""
    for name, formats in _USED_BY.items():
        is_given = getattr(args, name) != parser.get_default(name)
        if is_given and args.format not in formats:
            flag = f"--{name.replace('_', '-')}"
            expected, fix = f"flags that {args.format} uses", f"remove {flag}"
            found = f"{flag}, which is for {', '.join(formats)}"
            raise PipelineError(flag, expected, found, fix, code="invalid-argument")
    if args.format == "mosaic" and len(args.mask or ()) > 1:
        fix = "join the places of cortex in one .npy"
        raise PipelineError(
            "--mask", "one file for mosaic", f"{len(args.mask)}", fix, code="invalid-argument"
        )
    seconds = args.seconds_per_trial
    if seconds is not None and not 0 < seconds < math.inf:
        fix = "give --seconds-per-trial a number above 0, or leave it out"
        flag, expected = "--seconds-per-trial", "a number above 0"
        raise PipelineError(flag, expected, f"{seconds:g}", fix, code="invalid-argument")
    for name in ("test_repeats", "connections"):
        value = getattr(args, name)
        if value is not None and value < 1:
            flag = f"--{name.replace('_', '-')}"
            fix = f"give {flag} 1 or more, or leave it out"
            raise PipelineError(flag, "1 or more", f"{value}", fix, code="invalid-argument")


def number_ranges(text: str) -> tuple[int, ...]:
    """Return the numbers of a text such as 1-3,7; raises `PipelineError` for another text."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise PipelineError(
                "--sessions",
                "numbers and ranges, as 1-3,7",
                f"{text!r}",
                "write them with commas and hyphens",
                code="invalid-argument",
            )
        numbers |= set(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(numbers))


def laion(args: argparse.Namespace) -> None:
    """Import a subject of LAION-fMRI."""
    wanted = LaionImport(
        source=args.source,
        subject=args.subject or "sub-01",
        sessions=args.sessions,
        masks=tuple(args.mask or ["laiongeneral"]),
        split=args.split,
        pool=args.pool or args.subject or "sub-01",
        split_source=args.splits or SPLITS_SOURCE,
        split_commit=args.splits_commit,
        images=args.images,
        request=args.request_id,
        accepts_terms=args.accept_terms,
        keeps_images_file=args.keep_images_file,
        shows_images=args.show_images,
        test_repeats=args.test_repeats,
        connections=args.connections,
    )
    import_laion(wanted, args.folder)


def mosaic(args: argparse.Namespace) -> None:
    """Import a subject of MOSAIC."""
    if args.images is None:
        fix = "add --images FOLDER with the pictures of the data set's origin, or nsd_stimuli.hdf5"
        raise PipelineError("--images", "the images", "nothing", fix, code="invalid-argument")
    wanted = MosaicImport(
        source=args.source,
        subject=args.subject or "sub-01_NSD",
        images=args.images,
        stimuli=args.stimuli,
        shown=args.events,
        task=args.task,
        lists=None if args.splits is None else Path(args.splits),
        geometry=args.geometry,
        vertices=None if args.mask is None else Path(args.mask[0]),
        accepts_terms=args.accept_terms,
        accepts_nsd_terms=args.accept_nsd_terms,
        seconds_per_trial=args.seconds_per_trial,
        test_repeats=args.test_repeats,
        connections=args.connections,
    )
    import_mosaic(wanted, args.folder)


def glmsingle(args: argparse.Namespace) -> None:
    """Import a subject of the user's own from GLMsingle's outputs."""
    for flag, value in (("--events", args.events), ("--images", args.images)):
        if value is None:
            expected, fix = "a folder", f"add {flag} FOLDER"
            raise PipelineError(flag, expected, "nothing", fix, code="invalid-argument")
    wanted = GlmsingleImport(
        source=Path(args.source),
        events=args.events,
        images=args.images,
        masks=tuple(Path(mask) for mask in args.mask or ()),
        subject=args.subject,
        task=args.task,
        column=args.image_column,
    )
    import_glmsingle(wanted, args.folder)


def show_plan(args: argparse.Namespace) -> None:
    """Print what the import of this subject, and of the whole open sets, fetches and keeps.

    Session sizes are the bucket's where it may be listed: a folder, or with --accept-terms.
    """
    plans = []
    if args.format == "laion":
        sizes = []
        if args.accept_terms or not is_remote(args.source):
            bucket = LaionBucket(args.source, args.subject or "sub-01")
            sizes = [files.betas.n_bytes for files in bucket.sessions(args.sessions)]
        n_sessions = len(sizes or args.sessions or range(30))
        plans.append(laion_plan(n_sessions, listed_bytes=sizes, fetches_images=not args.images))
    if args.format == "mosaic":
        name = (args.subject or "sub-01_NSD").partition("_")[2]
        known = [found.name for found in MOSAIC_SETS]
        if name not in known:
            fix = "name a subject as sub-01_NSD (--subject)"
            expected = f"a data set of {', '.join(known)}"
            raise PipelineError("--subject", expected, f"{name!r}", fix, code="unknown-name")
        plans.append(mosaic_plan(name))
    for plan in [*plans, *whole_sets()]:
        logger.info("%s", plan.line(args.bandwidth))


def run(args: argparse.Namespace) -> None:
    """Call the importer that `args.format` names."""
    {"laion": laion, "mosaic": mosaic, "glmsingle": glmsingle}[args.format](args)
