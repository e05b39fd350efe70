"""`brainit doctor`: missing requirements of demo, full run, GPU and SLURM, and how to get them.

On a bare machine, where `brainit` is not installed, the same from the repository's root:
`PYTHONPATH=pipeline_src python3 -m brainit.commands.doctor`. There the exit code is 0 only where
the demo can run; in another folder, where the installed package can be used.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainit.commands.doctor_machine import Machine, look_at_machine
from brainit.core.errors import PipelineError
from brainit.workflow.terms import AGREEMENT_FORM, LAION_REQUEST_ID, LAION_REQUEST_PAGE, TERMS

logger = logging.getLogger(__name__)

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
GB = 1e9
DEMO_DISK, DEMO_MEMORY = 1 * GB, 6 * GB
INSTALL_DISK = 7 * GB
"""The packages with a CUDA build of torch; a CPU build takes 2 GB."""
FULL_DISK, FULL_MEMORY = 390 * GB, 64 * GB
"""Where no plan can be made; the largest memory that a rule asks for (train_joint)."""
LAION_DISK = 20 * GB
"""One subject of LAION-fMRI while it is imported (`brainit import-subject laion --plan`)."""
STAGE2_GPU = 56 * GB
"""Estimate of the GPU memory that stage 2 takes at the paper's batch (config/gpu_80gb.yaml)."""
SMALLEST_GPU = 22 * GB
_SLURM = ("sbatch", "squeue", "scancel")
SHORTEST_JOB_AGE_S = 60
"""The plugin asks for finished jobs less often than that."""


@dataclass(frozen=True)
class Finding:
    """One requirement: whether it is met, the finding, how to get it."""

    what: str
    ok: bool
    found: str
    fix: str = ""

    def line(self) -> str:
        """Return it as a line to read."""
        head = f"  {'ok     ' if self.ok else 'MISSING'} {self.what}: {self.found}"
        return head if self.ok else f"{head}. Get it: {self.fix}"


def add_parser(commands: Any) -> None:
    """Add the sub-command to the program's parser."""
    parser = commands.add_parser("doctor", help="missing requirements, and how to get them")
    add_flags(parser)
    parser.set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--configfile", nargs="*", type=Path, default=[], help="as for snakemake, of the full run"
    )


def run(args: argparse.Namespace) -> None:
    """Print met and missing requirements.

    Raises `PipelineError` where the demo cannot run, or outside the repository the package.
    """
    machine = look_at_machine(args.configfile)
    for line in as_lines(examine(machine)):
        logger.info("%s", line)
    needed = demo_findings(machine) if machine.in_repository else package_findings(machine)
    missing = [finding for finding in needed if not finding.ok]
    if missing:
        purpose = "the demo" if machine.in_repository else "the package"
        raise PipelineError(
            "this machine",
            f"the requirements of {purpose}",
            "no " + ", no ".join(finding.what for finding in missing),
            "; ".join(finding.fix for finding in missing),
            code="not-installed",
        )


def examine(machine: Machine) -> dict[str, list[Finding]]:
    """Return the findings for the demo, a full run beyond it, a GPU, SLURM and LAION-fMRI."""
    return {
        "the demo": demo_findings(machine),
        "a full run, beside that": full_findings(machine),
        "a GPU": gpu_findings(machine),
        "a SLURM cluster": slurm_findings(machine),
        "LAION-fMRI, where you use it": laion_findings(machine),
    }


def as_lines(findings: dict[str, list[Finding]]) -> list[str]:
    """Return all findings as lines to read."""
    lines = []
    for purpose, checked in findings.items():
        n_missing = sum(not finding.ok for finding in checked)
        lines.append(f"For {purpose}: {f'{n_missing} missing' if n_missing else 'all there'}")
        lines += [finding.line() for finding in checked]
    return lines


def package_findings(machine: Machine) -> list[Finding]:
    """Return the requirements of the Python package: interpreter, packages, its own files."""
    version = ".".join(map(str, machine.python))
    wrong, networks = machine.wrong_packages, machine.missing_demo_networks
    here = machine.in_repository
    install = "make setup" if here else "pip install the repository into this environment"
    restore = "git restore pipeline_src" if here else "pip install the repository anew"
    oldest, newest = (".".join(map(str, end)) for end in (OLDEST_PYTHON, NEWEST_PYTHON))
    return [
        Finding(
            f"Python {oldest} to {newest}",
            OLDEST_PYTHON <= machine.python <= NEWEST_PYTHON,
            version,
            f"python.org, your package manager, `uv python install {newest}`, or a conda"
            " environment",
        ),
        Finding("packages", not wrong, _names(wrong), f"{install} (it needs a package index)"),
        Finding("the demo's networks", not networks, _names(networks), restore),
    ]


def demo_findings(machine: Machine) -> list[Finding]:
    """Return the requirements of the demo: the package's, the repository, disk and memory."""
    peak = DEMO_DISK if machine.peak_demo < 0 else machine.peak_demo
    tools = [name for name in ("make", "git") if name not in machine.commands]
    here = machine.in_repository
    return [
        *package_findings(machine),
        Finding(
            "the repository",
            here,
            "this folder" if here else "not this folder",
            "git clone it, cd to its root, and run `brainit doctor` there",
        ),
        Finding(
            "a cache folder for Snakemake",
            not machine.closed_cache,
            f"cannot write {machine.closed_cache}" if machine.closed_cache else "writable",
            "export XDG_CACHE_HOME=FOLDER, a folder that you may write",
        ),
        Finding(
            "Snakemake's records of the results",
            not machine.unrecorded_results,
            f"none of {machine.unrecorded_results}" if machine.unrecorded_results else "all there",
            "copy the folder .snakemake too (`rsync -a`); or, to take the results as they are, run"
            " `snakemake --touch` with their targets and settings",
        ),
        Finding("make and git", not tools, _names(tools), "your system's package manager"),
        _disk(machine, peak + (INSTALL_DISK if machine.wrong_packages else 0)),
        _memory(machine, DEMO_MEMORY),
    ]


def full_findings(machine: Machine) -> list[Finding]:
    """Return the requirements of a full run beyond the demo."""
    peak = FULL_DISK if machine.peak_full < 0 else machine.peak_full
    terms = (
        f"read {TERMS}, file the data access agreement ({AGREEMENT_FORM}), then set"
        " nsd.accept_terms: true in a file of your own and name it with --configfile"
    )
    hosts, fault = machine.unknown_hosts, machine.faulty_paths
    offline = (
        "connect this machine; or fetch the files elsewhere, set paths.source and"
        " paths.coco_source to their folders, and BRAINIT_WEIGHTS to that of the weights"
    )
    state = "accepted" if machine.has_terms else "not accepted in the settings"
    findings = [
        Finding("NSD's terms", machine.has_terms, state, terms),
        Finding(
            "folders of the settings",
            not fault,
            fault or "all known",
            "export the variable, or write the path in full",
        ),
        Finding(
            "the network",
            not hosts,
            f"cannot resolve {', '.join(hosts)}" if hosts else "its servers have addresses",
            offline,
        ),
        _disk(machine, peak),
        _memory(machine, FULL_MEMORY),
        Finding("weights", not machine.missing_weights, _weights(machine), "as follows"),
    ]
    for entry in machine.missing_weights:
        fix = f"brainit weights fetch {entry.name}; source: {entry.source}"
        size = f"not here, {entry.size_mb:,.0f} MB, licence {entry.licence}"
        findings.append(Finding(f"weights {entry.name}", False, size, fix))
    return findings


def gpu_findings(machine: Machine) -> list[Finding]:
    """Return the requirements of a GPU run: driver, CUDA build of torch, enough GPU memory."""
    best = max((memory for _, memory in machine.gpus), default=0)
    cards = ", ".join(f"{name} {memory / GB:.0f} GB" for name, memory in machine.gpus) or "none"
    smaller = (
        "another card; or config/gpu_48gb.yaml (another optimiser) or config/gpu_24gb.yaml (a part"
        " of the U-Net); or somebody else's models (`models: authors` or a folder)"
    )
    has_driver = bool(machine.gpus) or "nvidia-smi" in machine.commands
    build = f"for CUDA {machine.torch_cuda}" if machine.torch_cuda else "none, or for CPUs alone"
    return [
        Finding("NVIDIA's driver", has_driver, "yes" if has_driver else "no", "nvidia.com/drivers"),
        Finding(
            "torch for CUDA",
            bool(machine.torch_cuda),
            build,
            "pytorch.org/get-started/locally, in the version of envs/constraints.txt",
        ),
        Finding(
            f"a card of {SMALLEST_GPU / GB:.0f} GB", best >= SMALLEST_GPU, cards, "another card"
        ),
        Finding(
            f"a card of {STAGE2_GPU / GB:.0f} GB, for stage 2 (an estimate)",
            best >= STAGE2_GPU,
            cards,
            smaller,
        ),
    ]


def slurm_findings(machine: Machine) -> list[Finding]:
    """Return the requirements of `snakemake --profile slurm`."""
    absent = [name for name in _SLURM if name not in machine.commands]
    plugin, age_s = machine.has_slurm_plugin, machine.min_job_age_s
    return [
        Finding(
            f"MinJobAge of {SHORTEST_JOB_AGE_S} s",
            age_s is None or age_s >= SHORTEST_JOB_AGE_S,
            "not known" if age_s is None else f"{age_s} s",
            "set slurm-status-command: sacct in profiles/slurm/config.yaml where `sacct` works, or"
            " ask the cluster's administrators for a longer MinJobAge",
        ),
        Finding("SLURM's commands", not absent, _names(absent), "log in to a submit node"),
        Finding(
            "Snakemake's SLURM plugin",
            plugin,
            "installed" if plugin else "not installed",
            "pip install snakemake-executor-plugin-slurm",
        ),
    ]


def laion_findings(machine: Machine) -> list[Finding]:
    """Return the requirements of importing a subject of LAION-fMRI; other open sets need none."""
    found = "at hand" if machine.has_laion_request else "none"
    fix = f"read the agreement and ask ({LAION_REQUEST_PAGE}), then set {LAION_REQUEST_ID}"
    return [
        Finding("a request id for its images", machine.has_laion_request, found, fix),
        _disk(machine, LAION_DISK),
    ]


def _disk(machine: Machine, needed: float) -> Finding:
    found = f"{machine.free_disk / GB:,.1f} GB free"
    fix = "free some, or set paths.store and paths.results to a larger disk"
    return Finding(f"disk, {needed / GB:,.1f} GB", machine.free_disk >= needed, found, fix)


def _memory(machine: Machine, needed: float) -> Finding:
    found = f"{machine.memory / GB:,.1f} GB"
    what = f"memory, {needed / GB:.0f} GB"
    return Finding(what, machine.memory >= needed, found, "a larger machine, or a cluster's nodes")


def _weights(machine: Machine) -> str:
    missing = machine.missing_weights
    n_gb = sum(entry.size_mb for entry in missing) / 1e3
    return f"{len(missing)} networks not here, {n_gb:.1f} GB" if missing else "all here"


def _names(missing: Sequence[str]) -> str:
    return f"missing {', '.join(missing)}" if missing else "all there"


def main() -> int:
    """Run without the `brainit` program, from the standard library alone; return the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m brainit.commands.doctor", description=__doc__)
    add_flags(parser)
    try:
        run(parser.parse_args())
    except PipelineError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
