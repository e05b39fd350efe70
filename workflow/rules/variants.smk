"""Variants: settings of the same steps, whose files exist only from the first step they change."""

import copy

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config


def all_variants():
    """Return name -> overlay of the ablations that are run, and of their repeats with other seeds."""
    named = {k: v for k, v in config["ablations"].items() if v is not None}
    found = dict(named)
    for row in config["seeds"]["rows"] if config["seeds"]["values"] else []:
        if row != "main" and row not in named:
            raise WorkflowError(
                f"seeds.rows: expected main or an ablation that is run, found {row}."
                " Fix: correct seeds.rows"
            )
        for seed in config["seeds"]["values"]:
            if seed == config["run"]["seed"]:
                raise WorkflowError(
                    f"seeds.values: expected other seeds than run.seed, found {seed}."
                    " Fix: leave it out, its rows are the runs without seeds"
                )
            name = f"seed{seed}" if row == "main" else f"{row}_seed{seed}"
            found[name] = {**named.get(row, {}), "run": {"seed": seed}}
    return found


ABLATIONS = all_variants()
REPEATED = {
    f"{row}_seed{seed}": row
    for row in config["seeds"]["rows"]
    for seed in config["seeds"]["values"]
}
"""The ablation whose clusters a repeat with another seed has."""
ANY_VARIANT = "|".join(ABLATIONS) or r"(?!)"
DRAWN = {"nsd.pairing", "run.seed"}
MADE_OF = {
    "encoder": (set(), ()),
    "clusters": ({"clusters"}, ("encoder",)),
    "bit_lowlevel": (
        {"synthesis.enabled", "bit", "bit_lowlevel", *DRAWN},
        ("clusters",),
    ),
    "bit_semantic": (
        {"synthesis.enabled", "bit", "bit_semantic", *DRAWN},
        ("clusters",),
    ),
    "joint": ({"synthesis.enabled", "bit", "joint", *DRAWN}, ("bit_semantic",)),
    "lowlevel": (
        {"bit", "dip", "recon.max_images", "recon.batch", "run.seed"},
        ("bit_lowlevel",),
    ),
    "semantic": ({"bit", "dip", "recon", "run.seed"}, ("joint",)),
    "fused": (set(), ("lowlevel", "semantic")),
}
"""Sections, or single keys, that models and images are made with, and what they are made from.

Encoder and clusters are those of the full run's seed and pairing. `dip` stands with `semantic`, so
that a variant of the inversion is judged by its fused images.
"""


@lru_cache(maxsize=None)
def settings_of(variant):
    """Return the whole configuration of a variant, its overlay above the config's own values."""
    merged = copy.deepcopy(dict(config))
    update_config(merged, copy.deepcopy(ABLATIONS.get(variant, {})))
    return merged


@lru_cache(maxsize=None)
def changes(variant, made):
    """Say whether a variant changes what is made, by a setting of its own or of a step before."""
    variant = maker(variant, made)
    sections, sources = MADE_OF[made]
    found = settings_of(variant)
    own = any(_part(found, name) != _part(config, name) for name in sections)
    return own or any(changes(variant, source) for source in sources)


def maker(variant, made):
    """Return the variant that makes this for a variant: itself, or for clusters what it repeats."""
    return REPEATED.get(variant, variant) if made == "clusters" else variant


def _part(of, name):
    section, _, key = name.partition(".")
    return of[section][key] if key else of[section]


def model_path(pool, variant, made, name):
    """Return a file of a pool's model: the variant's where it is another than the full one's."""
    if changes(variant, made):
        return f"<results>/group/{pool}/{maker(variant, made)}/{made}/{name}"
    folder = POOL_MODELS if pool == "all" else f"<results>/group/{pool}/main"
    return f"{folder}/{made}/{name}"


def pool_model(made, name):
    """Return an input function: a file of the model that pool and variant are made from."""
    return lambda wildcards: model_path(wildcards.pool, wildcards.variant, made, name)


def variant_named(wildcards):
    """Return the variant that the wildcards name: as such, or in a run `40h_<variant>`."""
    _, _, of_run = wildcards.get("run", "").partition("40h_")
    return wildcards.get("variant") or of_run or "main"


def run_of(variant, kind):
    """Return the run that holds a variant's images of this kind: the full one's where equal."""
    return f"40h_{variant}" if changes(variant, kind) else "40h"


def kinds_of_variant(variant):
    """Return the kinds of images made for a variant, the one it is judged by last.

    A variant of the low-level branch alone is judged by the images of that branch (T5). One that
    changes neither, such as `k128` of 128 clusters, is the full run under another name.
    """
    is_lowlevel = changes(variant, "lowlevel") and not changes(variant, "semantic")
    return ["lowlevel"] if is_lowlevel else ["lowlevel", "fused"]


def memory_of(mem_mb, mlp_mb):
    """Return a resource function: memory of a low-level job with a BIT or an MLP (T5), by attempt."""

    def megabytes(wildcards, attempt):
        own = settings_of(variant_named(wildcards))["bit_lowlevel"]
        return attempt * (mlp_mb if own["decoder"] == "mlp" else mem_mb)

    return megabytes


def uses_external(wildcards):
    """Say whether external images with predicted fMRI are trained on."""
    return settings_of(variant_named(wildcards))["synthesis"]["enabled"]


def ablation_scores(suffix):
    """Return SUBJECT/RUN/KIND -> score file of the full run and of all variants."""
    found = {}
    for subject in EVALUATED:
        for kind in ("fused", "lowlevel"):
            found[f"{subject}/40h/{kind}"] = ("40h", kind)
        for variant in ABLATIONS:
            kind = kinds_of_variant(variant)[-1]
            found[f"{subject}/40h_{variant}/{kind}"] = (run_of(variant, kind), kind)
    return {
        name: f"<results>/{name.split('/')[0]}/metrics/{run}_{kind}{suffix}.csv"
        for name, (run, kind) in found.items()
    }


def named_ablations(key):
    """Return a params function that writes the score files of input `key` as NAME=path."""
    return lambda wildcards, input: [
        f"{name}={path}" for name, path in zip(ablation_scores(""), input[key])
    ]


def check_ablations():
    """Refuse overlays with unknown settings, or of sections that are no variant's."""
    varied = set().union(*(sections for sections, _ in MADE_OF.values()))
    for name, overlay in ABLATIONS.items():
        schema = "../schemas/config.schema.json"
        validate(settings_of(name), schema=schema, set_default=False)
        given = {f"{part}.{key}" for part in overlay for key in overlay[part]}
        unknown = {key for key in given if not {key, key.split(".")[0]} & varied}
        if unknown:
            raise WorkflowError(
                f"ablations.{name}: expected settings of {sorted(varied)}, found"
                f" {sorted(unknown)}. Fix: run it as a configuration of its own."
            )


check_ablations()


def joint_processes(wildcards):
    """Return how many processes, each with a GPU, train stage 2; refuse what their step would."""
    joint = settings_of(variant_named(wildcards))["joint"]
    if joint["accumulation"] % joint["processes"]:
        raise WorkflowError(
            f"joint.processes: expected a divisor of joint.accumulation, {joint['accumulation']},"
            f" found {joint['processes']}. Fix: set joint.batch and joint.accumulation to fit."
        )
    return joint["processes"]


def joint_launcher(wildcards):
    """Return the words by which torchrun starts several processes; none for one.

    Told to end, they have the time that a job has before its limit to write a checkpoint.
    """
    n = joint_processes(wildcards)
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    words = [*torchrun, "--shutdown-timeout", "240", "--nproc-per-node", str(n)]
    return words if n > 1 else []
