"""Shared by all: checked settings, pools of subjects, code digests, network files."""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from snakemake.utils import validate

validate(config, schema="../schemas/config.schema.json", set_default=False)

PACKAGE = Path(workflow.basedir).parent / "pipeline_src" / "brainit"
SIMULATION = config["run"]["simulation"]
SUBJECTS = config["nsd"]["subjects"]
EVALUATED = config["nsd"]["evaluated"]
TRANSFER = config["nsd"]["transfer"]
LAB = config["lab"]
NSD_NAME = r"subj0[1-8]"
LAB_NAME = "|".join(LAB) or r"(?!)"
ANY_NAME = f"{NSD_NAME}|{LAB_NAME}"
DURATIONS = config["transfer"]["durations"]
SHORT_DURATIONS = config["transfer"]["short_durations"]
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
    pool=rf"all|without_{NSD_NAME}|scratch_({ANY_NAME})_1h",
    duration=r"15min|30min|1h|40h",
    run=rf"15min|30min|1h|40h|1h_scratch|40h_({ANY_VARIANT})",
    variant=rf"main|{ANY_VARIANT}",
    kind=r"lowlevel|semantic",
    recon_kind=r"lowlevel|semantic|fused",
    image_set=r"stimuli|external",
    shard=r"\d+",


def settings(*sections):
    """Return the params function that hands the named sections to a step as JSON.

    They are those of the variant that the wildcards name. How often checkpoints are written and
    where jobs run is no part of them, since a change of it must repeat no job: the former travels
    as a resource, which triggers nothing. Nor is which runs there are.
    """

    def chosen(wildcards):
        found = settings_of(variant_named(wildcards))
        found = {name: dict(found[name]) for name in ("run", *sections)}
        for key in ("checkpoint_minutes", "submit_downloads", "container"):
            found["run"].pop(key, None)
        for key in ("durations", "short_durations", "scratch"):
            found.get("transfer", {}).pop(key, None)
        return json.dumps(found, sort_keys=True)

    return chosen


def some_settings(section, *keys):
    """Return the params function that hands over some keys of one section, and nothing else."""
    chosen = {section: {key: config[section][key] for key in keys}}
    return lambda wildcards: json.dumps(chosen, sort_keys=True)


def by_attempt(amount):
    """Return a resource that is twice, three times ... as much when the job is tried again.

    A training's runtime is no such resource: its retry continues where it was.
    """

    def grown(wildcards, attempt):
        return amount * attempt

    return grown


def is_url(source):
    """Return whether files of `source` come over the network."""
    return "://" in source and not source.startswith("file:")


def temp_if_remote(path):
    """Return a large downloaded file as temporary; of a simulated or local source it stays."""
    return temp(path) if is_url(SOURCE) else path


@lru_cache(maxsize=None)
def code_digest(module):
    """Digest the syntax trees of a module and of all modules of the package that it imports."""
    trees = {name: _tree(name) for name in sorted(_imported(module))}
    text = "".join(f"{name}\n{ast.dump(tree)}\n" for name, tree in trees.items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=None)
def _tree(module):
    path = _source(module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        is_documented = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef)
        ) and ast.get_docstring(node, clean=False)
        if is_documented:
            node.body = body[1:]
    return tree


def _source(module):
    base = PACKAGE.parent.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _imported(module, seen=None):
    seen = set() if seen is None else seen
    seen.add(module)
    for node in ast.walk(_tree(module)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                node.module,
                *(f"{node.module}.{alias.name}" for alias in node.names),
            ]
        for name in names:
            known = name.split(".")[0] == "brainit" and _source(name).is_file()
            if known and name not in seen:
                _imported(name, seen)
    return seen


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


def model_of(stage, name):
    """Return an input function: the model that decodes a run, the pool's or the subject's own."""

    def path(wildcards):
        run, subject = wildcards.run, wildcards.subject
        if run == "1h_scratch":
            return model_path(f"scratch_{subject}_1h", "main", stage, name)
        if run.startswith("40h") and subject not in LAB:
            return model_path("all", variant_named(wildcards), stage, name)
        return f"<results>/{subject}/transfer_{run}/{stage}/{name}"

    return path


def generator_of(wildcards):
    """Return the generator that decodes a run: transfer leaves the pool's as it is."""
    is_new = not wildcards.run.startswith("40h") or wildcards.subject in LAB
    is_transferred = is_new and wildcards.run != "1h_scratch"
    of = base_model if is_transferred else model_of
    return of("joint", "generator.safetensors")(wildcards)


def base_model(stage, name):
    """Return an input function: the model a new subject starts from, of a pool without it."""

    def path(wildcards):
        subject = wildcards.subject
        own = f"<results>/group/without_{subject}/main"
        return f"{POOL_MODELS if subject in LAB else own}/{stage}/{name}"

    return path


def base_bit(wildcards):
    """Return the stage-1 BIT of this kind that a new subject starts from."""
    return base_model(f"bit_{wildcards.kind}", "bit.safetensors")(wildcards)


def lab_of(wildcards):
    """Return the lab's subject that the wildcards name, alone or as a pool, or None."""
    pool = wildcards.get("pool")
    subject = wildcards.get("subject") or pool_subjects(pool)[0]
    return subject if subject in LAB else None


def stimuli_of(wildcards):
    """Return the images that the subject or the pool saw: NSD's, or a lab's own."""
    lab = lab_of(wildcards)
    return (
        f"<results>/{lab}/images/stimuli" if lab else "<results>/group/images/stimuli"
    )


def lab_files(wildcards):
    """Return what stands in the folder of a lab's subject; the folder where it is empty."""
    folder = Path(LAB[wildcards.subject])
    names = ["betas.npy", "trials.csv", "voxels.csv", "images", "images.npy"]
    found = [str(folder / name) for name in names if (folder / name).exists()]
    return found or str(folder)


def lab_folder(wildcards):
    """Return the folder of a lab's subject."""
    return LAB[wildcards.subject]


def shard_of(wildcards):
    """Return k/n: the number of this shard, from 0, and how many there are."""
    return f"{wildcards.shard}/{N_SHARDS}"


def parts_of(kind):
    """Return an input function: all shards of one kind of reconstruction of a run.

    A variant has no semantic-only images, of the low-level branch alone no fused ones, and takes
    those of the full run that it does not change. The baseline from scratch is judged by its fused
    images and has no semantic-only ones.
    """

    def files(wildcards):
        variant = variant_named(wildcards)
        if variant != "main" and kind not in kinds_of_variant(variant):
            return []
        run = run_of(variant, kind) if variant != "main" else wildcards.run
        if run == "1h_scratch" and kind == "semantic":
            return []
        folder = f"<results>/{wildcards.subject}/recon_{run}_parts/{kind}"
        return [f"{folder}/shard_{shard}.safetensors" for shard in range(N_SHARDS)]

    return files


def part_of(kind):
    """Return an input function: the shard of this number of another kind of the same run."""

    def path(wildcards):
        return parts_of(kind)(wildcards)[int(wildcards.shard)]

    return path


def generated_flags(wildcards, input):
    """Return the flags of the shards that a generator made, where the run has them."""
    made = {kind: input.get(kind, []) for kind in ("semantic", "fused")}
    return [word for kind in made if made[kind] for word in (f"--{kind}", *made[kind])]


def simulated_files(*names):
    """Return files of the simulator's output, or none where the source is not simulated."""
    return [f"<store>/simulated/{name}" for name in names] if SIMULATION else []


def transfers_of(subject):
    """Return the amounts of data from which a subject is decoded as a new one."""
    if subject not in TRANSFER:
        return []
    short = SHORT_DURATIONS if subject == TRANSFER[0] else []
    return [d for d in ("15min", "30min", "1h", "40h") if d in (*DURATIONS, *short)]


def runs_of(subject):
    """Return the runs whose reconstructions are scored for a subject."""
    runs = ["40h"] if subject in EVALUATED else []
    if subject in TRANSFER:
        runs += transfers_of(subject)
        runs += ["1h_scratch"] if config["transfer"]["scratch"] else []
    return runs


ALL_RUNS = [(s, run) for s in SUBJECTS for run in runs_of(s)]


def token_files(wildcards):
    """Return the cached semantic tokens of both image sets, where the settings keep them."""
    lab = lab_of(wildcards)
    stimuli = f"<results>/{lab or 'group'}/tokens/stimuli"
    is_used = uses_external(wildcards)
    external = ["<results>/group/tokens/external"] if is_used else []
    return [stimuli, *external] if CACHE_TOKENS else []


def token_flags(wildcards, input):
    """Return the flags of the cached tokens among the inputs."""
    flags = ["--tokens", "--external-tokens"]
    return [word for pair in zip(flags, input.get("tokens", [])) for word in pair]


def synthetic_of_pool(wildcards):
    """Return the predicted fMRI of each subject of the pool, where external images are used."""
    pattern = "<results>/group/{pool}/main/synthetic_fmri/{subject}"
    return of_pool(pattern)(wildcards) if uses_external(wildcards) else []


def synthetic_flag(wildcards, input):
    """Return --synthetic and subject=path words, where external images are used."""
    if not uses_external(wildcards):
        return []
    return ["--synthetic", *named("synthetic")(wildcards, input)]


def kinds_of(run):
    """Return the kinds of images that are scored: of a run from less data, the final ones alone."""
    return KINDS if run == "40h" else ["fused"]


SCORES = [(s, run, kind) for s, run in ALL_RUNS for kind in kinds_of(run)]


def score_files(suffix):
    """Return the metric tables of every scored kind of all runs, per image or their summaries."""
    return [
        f"<results>/{s}/metrics/{run}_{kind}{suffix}.csv" for s, run, kind in SCORES
    ]


def keyed_scores(key):
    """Return a params function that writes the score files of input `key` as NAME=path."""
    return lambda wildcards, input: [
        "{}/{}/{}={}".format(*name, path)
        for name, path in zip(SCORES, input[key], strict=True)
    ]


def keyed_recons(key):
    """Return a params function that writes the folders of input `key` as subject/run=path."""
    return lambda wildcards, input: [
        f"{Path(path).parent.name}/{Path(path).name.removeprefix('recon_')}={path}"
        for path in input[key]
    ]


def of_subjects(pattern, subjects=tuple(SUBJECTS)):
    """Return the file `pattern` of each subject."""
    return [pattern.replace("{subject}", subject) for subject in subjects]


def keyed_subjects(key, subjects=tuple(SUBJECTS)):
    """Return a params function that writes the files of input `key` as subject=path."""
    return lambda wildcards, input: [
        f"{subject}={path}" for subject, path in zip(subjects, input[key], strict=True)
    ]


def histories():
    """Return the training histories that the figures show: label -> file."""
    stages = ["encoder", "bit_lowlevel", "bit_semantic", "joint"]
    pools = ["all"] if TRAINS_POOL else []
    pools += [f"without_{s}" for s in TRANSFER if transfers_of(s)]
    found = {
        f"{p}/{s}": f"<results>/group/{p}/main/{s}/history.csv"
        for p in pools
        for s in stages
    }
    for subject in TRANSFER:
        for duration in transfers_of(subject):
            for stage in stages:
                path = f"<results>/{subject}/transfer_{duration}/{stage}/history.csv"
                found[f"{subject}_{duration}/{stage}"] = path
    return found


def truth_flags(wildcards, input):
    """Return --truth and --card where the source is simulated."""
    return (
        ["--truth", str(input.truth), "--card", str(input.card)] if SIMULATION else []
    )


def transferred_fmri(wildcards):
    """Return the new subject's predicted fMRI, where external images are used."""
    pattern = "<results>/{subject}/transfer_{duration}/synthetic_fmri/{subject}"
    return (
        pattern.replace("{subject}", wildcards.subject).replace(
            "{duration}", wildcards.duration
        )
        if uses_external(wildcards)
        else []
    )


def transferred_flag(wildcards, input):
    """Return --synthetic and its folder, where external images are used."""
    return ["--synthetic", str(input.synthetic)] if uses_external(wildcards) else []


def semantic_token_files(wildcards):
    """Return the cached tokens for the semantic BIT, nothing for the low-level one."""
    return token_files(wildcards) if wildcards.kind == "semantic" else []


def target_network(wildcards):
    """Return the network whose features the BIT of this kind predicts."""
    return network({"lowlevel": "vgg", "semantic": "semantic_tokens"}[wildcards.kind])


def source_root(wildcards):
    """Return the root of NSD's tree: the simulator's folder or what the settings name."""
    return SOURCE


def coco_root(wildcards):
    """Return the folder of COCO's archive: the simulator's or what the settings name."""
    return COCO_SOURCE


def mask_files(wildcards):
    """Return the subject's own ROI files, where nsd.mask is `files`."""
    return [
        path.replace("{subject}", wildcards.subject)
        for path in config["nsd"]["mask_files"]
    ]
