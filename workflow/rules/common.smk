"""The checked configuration, and what all rules share: folders, wildcards, resources."""

import json
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.utils import validate

try:
    from brainit.core.errors import PipelineError
    from brainit.workflow import params, runs
    from brainit.workflow.cohort import with_members
    from brainit.workflow.completeness import require_complete
    from brainit.workflow.digest import code_digest
    from brainit.workflow.files import Files, table_files
    from brainit.workflow.folders import expand_folders
    from brainit.workflow.inputs import Inputs, of_subjects
    from brainit.workflow.one_run import clear_killed, hold_results, join_runs, sweep
    from brainit.workflow.params import Params, labelled
    from brainit.workflow.rates import Rates, RehearsedRequests
    from brainit.workflow.requests import require_extra_kept, require_submitter
    from brainit.workflow.study import (
        ABLATION_TABLES,
        EVERY_TABLE,
        PEER_TABLE,
        TABLES,
        Study,
    )
except ImportError as error:
    raise WorkflowError(
        f"{sys.executable}: expected the Python package brainit of this workflow, found:"
        f" {error}. Fix: run `{sys.executable} -m pip install REPOSITORY`, or start Snakemake"
        " from the environment in which brainit is installed"
    ) from None

SCHEMA = "../schemas/config.schema.json"
validate(config, schema=SCHEMA, set_default=False)
REQUESTS = workflow.resource_settings
try:
    require_complete(
        config, json.loads(Path(workflow.source_path(SCHEMA)).read_text("utf-8"))
    )
    config.update(with_members(expand_folders(config)))
    STUDY = Study.of(config)
    RATES = Rates.of(Path(config["paths"]["results"]))
except PipelineError as error:
    raise WorkflowError(str(error)) from None
for values in STUDY.variants.settings.values():
    validate(values, schema=SCHEMA, set_default=False)

FILES, INPUTS, PARAMS = Files(STUDY), Inputs(STUDY), Params(STUDY)
settings = PARAMS.settings
REHEARSED = RehearsedRequests(RATES, PARAMS.settings, config["features"])
THREADS = config["run"]["threads"]
CHECKPOINT_MINUTES = config["run"]["checkpoint_minutes"]
MAX_HOURS = config["run"]["max_hours"] or 0
TENSORBOARD = int(config["run"]["tensorboard"])
LOADER_THREADS = (
    -1 if config["run"]["loader_threads"] is None else config["run"]["loader_threads"]
)
LOCAL_DOWNLOADS = not config["run"]["submit_downloads"]
STORE = Path(config["paths"]["store"])
RESULTS = Path(config["paths"]["results"])
WORK = str(STORE / "work")

NSD_NAME = r"subj0[1-8]"
LAB_NAME = "|".join(STUDY.lab) or r"(?!)"
ANY_NAME = f"{NSD_NAME}|{LAB_NAME}"
OTHER_POOL = (
    rf"{runs.FIRST_POOL}|without_({ANY_NAME})|scratch_({ANY_NAME})_({runs.DURATION})"
)
VARIANT = "|".join(STUDY.variants.names) or r"(?!)"
OTHER_RUN = (
    rf"{runs.SCRATCH}|{runs.NSDSYNTHETIC}|{'|'.join(runs.NSDIMAGERY)}"
    rf"|{runs.FIRST_POOL}|40h_({VARIANT})"
)
DECODED_RUN = (
    rf"{runs.DURATION}|({runs.DURATION})_{runs.RIDGE}|{runs.PREDICTED}|{OTHER_RUN}"
)

SEARCHED_RUN = rf"({DECODED_RUN})_{runs.SEARCH}"
RUN = f"{runs.DURATION}|{runs.BASELINE}|{OTHER_RUN}"


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
    duration=runs.DURATION,
    run=RUN,
    variant=f"main|{VARIANT}",
    kind="lowlevel|semantic",
    recon_kind="lowlevel|semantic|fused",
    image_set="stimuli|external",
    shard=r"\d+",
    table="|".join(EVERY_TABLE),
    peer="|".join(runs.PEERS),
    source="|".join(("encoder", runs.RIDGE, runs.STAGE1, runs.CONTRASTIVE, *runs.PEERS)),
    half="half_[ab]",
    method="|".join((runs.STAGE1, runs.CONTRASTIVE, *runs.PEERS)),


def by_attempt(amount):
    """Return a resource that grows with each retry of a job: twice, three times `amount`.

    A training's runtime does not: its retry continues where it was.
    """
    return lambda wildcards, attempt: amount * attempt


def memory_of(step, mb, mlp_mb=None):
    """Return the memory of a job of `step` by attempt: as rehearsed, or `mb`.

    `mlp_mb` is that of a job with the MLP of T5 instead of the low-level BIT.
    """

    def amount(wildcards, attempt):
        is_mlp = mlp_mb is not None and PARAMS.uses_mlp(wildcards)
        return attempt * REHEARSED.mem_mb(step, wildcards, mlp_mb if is_mlp else mb)

    return amount


def minutes_of(step, most):
    """Return the minutes of a job of `step` by attempt: as rehearsed, or `most`."""
    return lambda wildcards, attempt: attempt * REHEARSED.minutes(step, wildcards, most)


def training_minutes(step, most):
    """Return the minutes of a training's job: as rehearsed or `most`, or those of `run.max_hours`.

    Half an hour more is for loading, the last step, its checkpoint and the output files.
    """

    def minutes(wildcards):
        needed = REHEARSED.minutes(step, wildcards, most)
        return min(needed, 60 * MAX_HOURS + 30) if MAX_HOURS else needed

    return minutes


def temp_if_real(path):
    """Mark a large file that can be made again as temporary; a simulation's are small and stay."""
    return path if STUDY.is_simulated else temp(path)


def accepted_terms(wildcards):
    """Return no file; refuse a run that would ask NSD for files before its terms are accepted.

    Snakemake asks for a job's inputs before the first job starts. Dry runs and graphs are allowed.
    """
    if workflow.executor_plugin and not (workflow.dryrun or workflow.touch):
        STUDY.require_terms()
    return []


if workflow.is_main_process and not workflow.output_settings.dryrun:
    try:
        for other in join_runs():
            logger.info(f"The workflow runs in this folder already: {other}")
        clear_killed(RESULTS, STORE)
    except PipelineError as error:
        raise WorkflowError(str(error)) from None


onstart:
    try:
        require_submitter(workflow.executor_plugin.name)
        hold_results(RESULTS)
    except PipelineError as error:
        raise WorkflowError(str(error)) from None


onsuccess:
    sweep(RESULTS, STORE)
