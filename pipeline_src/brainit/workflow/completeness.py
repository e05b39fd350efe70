"""The settings that the rules themselves read, and whether a configuration holds all that is read.

The steps' own settings are in `workflow.reads`.
"""

from collections.abc import Mapping
from typing import Any

from brainit.core.errors import PipelineError
from brainit.workflow.reads import READS, UNTRACKED

OF_THE_WORKFLOW = (
    "run.simulation",
    "run.threads",
    "run.checkpoint_minutes",
    "run.max_hours",
    "run.tensorboard",
    "run.loader_threads",
    "run.submit_downloads",
    "run.container",
    "run.seed",
    "paths.results",
    "paths.store",
    "paths.source",
    "paths.coco_source",
    "nsd.subjects",
    "nsd.evaluated",
    "nsd.transfer",
    "nsd.space",
    "nsd.mask_files",
    "nsd.pool_sizes",
    "nsd.connections",
    "cohort.subjects",
    "cohort.evaluated",
    "cohort.transfer",
    "cohort.embedding_states",
    "lab",
    "models",
    "features.cache_tokens",
    "features.cache_latents",
    "clusters.method",
    "clusters.atlas",
    "synthesis.enabled",
    "bit_lowlevel.decoder",
    "bit_lowlevel.optimizer",
    "bit_semantic.optimizer",
    "baselines.lowlevel",
    "joint.processes",
    "joint.accumulation",
    "joint.optimizer",
    "transfer.durations",
    "transfer.short_durations",
    "transfer.further_durations",
    "transfer.scratch",
    "recon.n_shards",
    "brain_search.enabled",
    "brain_search.encoder",
    "peers",
    "ablations",
    "seeds.values",
    "seeds.rows",
)
"""Settings that the rules themselves read to choose the jobs."""


def require_complete(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check that a configuration holds all that the rules and their steps read.

    The JSON schema of the configuration lists the keys of a section that a step reads whole.

    Raises `PipelineError` that names every missing section and key.
    """
    names = dict.fromkeys([*OF_THE_WORKFLOW, *(name for read in READS.values() for name in read)])
    missing = []
    for name in sorted(names):
        section, _, key = name.partition(".")
        if section not in config:
            missing.append(section)
        else:
            keys = [key] if key else _keys_of(section, schema)
            missing += [f"{section}.{k}" for k in keys if k not in config[section]]
    if missing:
        raise PipelineError(
            "the configuration",
            "all settings of the repository's config/config.yaml",
            f"no {', '.join(sorted(set(missing)))}",
            'put `configfile: "config/config.yaml"`, a copy of that file, before your `module`'
            " statement, and your own settings into a file named with --configfile",
            code="missing-data",
        )


def _keys_of(section: str, schema: Mapping[str, Any]) -> list[str]:
    """Return the keys of a section that are passed with it, by the schema; none for a value."""
    definition = schema["properties"][section]
    if reference := definition.get("$ref"):
        definition = schema["$defs"][reference.rpartition("/")[2]]
    return [k for k in definition.get("properties", ()) if f"{section}.{k}" not in UNTRACKED]
