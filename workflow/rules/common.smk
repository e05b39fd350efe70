"""Shared by all: checked settings, pools of subjects, code digests, network files."""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

validate(config, schema="../schemas/config.schema.json", set_default=False)

PACKAGE = Path(workflow.basedir).parent / "pipeline_src" / "brainit"
SIMULATION = config["run"]["simulation"]
SUBJECTS = config["nsd"]["subjects"]
EVALUATED = config["nsd"]["evaluated"]
TRANSFER = config["nsd"]["transfer"]
LAB = config["lab"]
for key, chosen in (("evaluated", EVALUATED), ("transfer", TRANSFER)):
    if others := [subject for subject in chosen if subject not in SUBJECTS]:
        raise WorkflowError(
            f"nsd.{key}: expected subjects of nsd.subjects ({', '.join(SUBJECTS)}), found"
            f" {', '.join(others)}. Fix: add them to nsd.subjects, or leave them out of nsd.{key}"
        )
if not EVALUATED:
    raise WorkflowError(
        "nsd.evaluated: expected at least one subject, found none. Fix: name one of nsd.subjects"
    )
if TRANSFER and len(SUBJECTS) < 2:
    raise WorkflowError(
        f"nsd.transfer: expected another of nsd.subjects than {SUBJECTS[0]} to transfer from, found"
        " none. Fix: set nsd.transfer: [], or name more nsd.subjects"
    )
NSD_NAME = r"subj0[1-8]"
LAB_NAME = "|".join(LAB) or r"(?!)"
ANY_NAME = f"{NSD_NAME}|{LAB_NAME}"
DURATIONS = config["transfer"]["durations"]
SHORT_DURATIONS = config["transfer"]["short_durations"]
FURTHER_DURATIONS = config["transfer"]["further_durations"]
DURATION = r"15min|30min|450trials|[1-9]h|[1-4][0-9]h"
NSDSYNTHETIC = "nsdsynthetic"
FIRST_POOL = r"first[1-8]"
OTHER_POOL = rf"{FIRST_POOL}|without_{NSD_NAME}|scratch_({ANY_NAME})_1h"
MODELS = config["models"]
TRAINS_POOL = MODELS == "train"
POOL_MODELS = {
    "train": "<results>/group/all/main",
    "authors": "<results>/group/all/authors",
}.get(MODELS, MODELS.rstrip("/"))
KINDS = ["lowlevel", "semantic", "fused"]
N_SHARDS = config["recon"]["n_shards"]
CACHE_TOKENS = config["features"]["cache_tokens"]
THREADS = config["run"]["threads"]
CHECKPOINT_MINUTES = config["run"]["checkpoint_minutes"]
MAX_HOURS = config["run"]["max_hours"] or 0
LOCAL_DOWNLOADS = not config["run"]["submit_downloads"]
STORE = Path(config["paths"]["store"])
RESULTS = Path(config["paths"]["results"])
WEIGHTS = str(STORE / "weights")
WORK = str(STORE / "work")
SOURCE = str(STORE / "simulated" / "nsd") if SIMULATION else config["paths"]["source"]
COCO_SOURCE = (
    str(STORE / "simulated" / "coco") if SIMULATION else config["paths"]["coco_source"]
)


include: "variants.smk"


pathvars:
    results=config["paths"]["results"],
    store=config["paths"]["store"],
    logs=str(RESULTS / "logs"),
    benchmarks=str(RESULTS / "benchmarks"),


if config["run"]["container"]:

    container: config["run"]["container"]


wildcard_constraints:
    subject=ANY_NAME,
    pool=f"all|{OTHER_POOL}",
    duration=DURATION,
    run=rf"{DURATION}|1h_scratch|{NSDSYNTHETIC}|{FIRST_POOL}|40h_({ANY_VARIANT})",
    variant=rf"main|{ANY_VARIANT}",
    kind=r"lowlevel|semantic",
    recon_kind=r"lowlevel|semantic|fused",
    image_set=r"stimuli|external",
    shard=r"\d+",


HIDDEN = {
    *("run.checkpoint_minutes", "run.max_hours", "run.submit_downloads"),
    *("run.container", "nsd.connections", "nsd.accept_terms"),
}
"""Keys that are no part of a whole section: how and where jobs run, which repeats none."""
COMPUTING = ["run.seed", "run.threads", "run.device"]
MASK = ["nsd.space", "nsd.mask", "nsd.mask_files"]
"""Which voxels there are; checked together, so told together."""
TRIALS = ["nsd.average_training_repeats", "nsd.pairing"]
"""How trainings take a pool's trials."""
ENCODER_SIZES = [
    *["encoder.feature_width", "encoder.voxel_width", "encoder.adapter_rank"],
    *["encoder.adapter_alpha", "encoder.dropout"],
]
ENCODER = ["features.encoder_backbone", "encoder.precision", *ENCODER_SIZES]
"""What steps read that predict with an encoder."""
ENCODER_TRAINING = [
    *["encoder.batch", "encoder.lr", "encoder.loss"],
    *["encoder.voxels_per_example", "encoder.max_shift_px"],
]
CLUSTERING = [
    *["clusters.method", "clusters.n_clusters", "clusters.covariance"],
    *["clusters.max_fit_voxels", "clusters.max_iterations"],
]
TOKEN_NETWORK = [
    *["features.semantic_tokens", "features.halve_contrast", "features.precision"],
]
VOXEL_DRAWS = ["bit_semantic.voxels_per_example", "bit_semantic.voxel_sampling"]
"""How stage 2 draws voxels, as stage 1 did."""


def settings(*names):
    """Return the params function that hands settings to a step as JSON, those that it reads.

    A name is a section or one key of it, `section.key`. Values are those of the variant that the
    wildcards name. A key that is not told has the paper's value in the step, whatever the config says.
    """

    def chosen(wildcards):
        found = settings_of(variant_named(wildcards))
        told = {}
        for name in names:
            section, _, key = name.partition(".")
            if isinstance(found[section], dict):
                keys = [key] if key else set(found[section]) - hidden_of(section)
                told.setdefault(section, {}).update(
                    {key: found[section][key] for key in keys}
                )
            else:
                told[section] = found[section]
        return json.dumps(told, sort_keys=True)

    return chosen


def hidden_of(section):
    """Return the keys of a section that are told only by their own names."""
    return {name.partition(".")[2] for name in HIDDEN if name.startswith(f"{section}.")}


def by_attempt(amount):
    """Return a resource that is twice, three times ... as much when the job is tried again.

    A training's runtime is no such resource: its retry continues where it was.
    """

    def grown(wildcards, attempt):
        return amount * attempt

    return grown


def training_minutes(most):
    """Return the minutes to ask for: those of a whole training, or of a job of `run.max_hours`.

    Half an hour more is for loading, the last step, its checkpoint and the output files.
    """
    return min(most, 60 * MAX_HOURS + 30) if MAX_HOURS else most


def is_url(source):
    """Return whether files of `source` come over the network."""
    return "://" in source and not source.startswith("file:")


def temp_if_real(path):
    """Return what is large and can be had again as temporary; a simulation's is small and stays."""
    return path if SIMULATION else temp(path)


@lru_cache(maxsize=None)
def code_digest(module):
    """Digest the syntax trees of a module and of all modules of the package that it imports."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_parsed(name)[1])
    text = "".join(f"{name} {_parsed(name)[0]}\n" for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=None)
def _parsed(module):
    """Return the digest of a module's tree, docstrings left out, and the modules it imports."""
    tree = ast.parse(_source(module).read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            if ast.get_docstring(node, clean=False):
                node.body = node.body[1:]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    own = {name for name in names if name.split(".")[0] == "brainit"}
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digest, sorted(name for name in own if _source(name).is_file())


def _source(module):
    base = PACKAGE.parent.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def network(role):
    """Return the weight file of the network that the settings name for `role`."""
    return network_file(config["features"][role])


def network_file(name):
    """Return the weight file of a network: shipped for demo networks, else below the store."""
    if name == "none":
        return []
    if name.startswith("demo_"):
        return f"pipeline_src/brainit/features/demo/{name}.safetensors"
    return f"<store>/weights/{name}.safetensors"


def pool_subjects(pool):
    """Return the subjects whose data train the models of a pool."""
    if pool == "all":
        return SUBJECTS
    if pool.startswith("first"):
        return SUBJECTS[: int(pool.removeprefix("first"))]
    if pool.startswith("without_"):
        return [
            subject for subject in SUBJECTS if subject != pool.removeprefix("without_")
        ]
    return [pool.split("_")[1]]


def pool_duration(wildcards):
    """Return how much of each subject's data a pool uses."""
    return "1h" if wildcards.pool.startswith("scratch") else "40h"


def of_pool(pattern):
    """Return an input function: the file `pattern` of each subject of the pool."""

    def files(wildcards):
        subjects = pool_subjects(wildcards.pool)
        return [
            pattern.replace("{subject}", subject).replace("{pool}", wildcards.pool)
            for subject in subjects
        ]

    return files


def named(key):
    """Return a params function that writes the pool's files of input `key` as subject=path."""

    def pairs(wildcards, input):
        return [
            f"{subject}={path}"
            for subject, path in zip(
                pool_subjects(wildcards.pool), input[key], strict=True
            )
        ]

    return pairs


include: "inputs.smk"
include: "runs.smk"
