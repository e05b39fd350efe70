"""Checks of the machine for `brainit doctor`; runs on a bare machine, imports the standard library.

Facts that need a package are checked if it is installed, and unknown otherwise.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from brainit.core.errors import PipelineError
from brainit.features.registry_entries import ENTRIES, BackboneEntry

COMMANDS = ("make", "git", "nvidia-smi", "sbatch", "squeue", "sacct", "scancel")
_DEMO_NETWORKS = Path(__file__).parents[1] / "features" / "demo"
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """Resources of a machine; sizes in bytes.

    `wrong_packages` are requirements with the installed versions; `gpus` are names and memory;
    `torch_cuda` is the CUDA version torch was built for, empty for none. `peak_demo` and
    `peak_full` are the disk that the jobs still to run need at most, -1 where it is not known.
    """

    python: tuple[int, int]
    commands: frozenset[str]
    wrong_packages: tuple[str, ...]
    missing_demo_networks: tuple[str, ...]
    free_disk: int
    memory: int
    gpus: tuple[tuple[str, int], ...]
    torch_cuda: str
    missing_weights: tuple[BackboneEntry, ...]
    has_terms: bool
    has_slurm_plugin: bool
    peak_demo: float
    peak_full: float


def look_at_machine(configfiles: Sequence[Path]) -> Machine:
    """Return the machine's resources, seen from the repository's root.

    Raises `PipelineError` where the working directory is no such root, or the configuration is
    faulty.
    """
    root = Path("config/config.yaml")
    if not root.is_file():
        raise PipelineError(
            root,
            "the repository's settings",
            "no file",
            "cd to the root of the repository first",
            code="missing-file",
        )
    store, has_terms = configured(configfiles)
    gpus, cuda = look_at_gpus()
    return Machine(
        python=sys.version_info[:2],
        commands=frozenset(name for name in COMMANDS if shutil.which(name)),
        wrong_packages=wrong_packages(Path("pyproject.toml").read_text(encoding="utf-8")),
        missing_demo_networks=tuple(
            entry.file
            for entry in ENTRIES
            if entry.is_demo and not (_DEMO_NETWORKS / entry.file).is_file()
        ),
        free_disk=free_disk(store),
        memory=total_memory(),
        gpus=gpus,
        torch_cuda=cuda,
        missing_weights=missing_weights(store / "weights"),
        has_terms=has_terms,
        has_slurm_plugin=find_spec("snakemake_executor_plugin_slurm") is not None,
        peak_demo=planned_peak([Path("config/demo.yaml")]),
        peak_full=planned_peak(configfiles),
    )


def configured(configfiles: Sequence[Path]) -> tuple[Path, bool]:
    """Return the store's folder and whether NSD's terms are accepted; as shipped if unreadable."""
    try:
        from brainit.commands.plan import read_configuration
    except ImportError:
        return Path("results/.store"), False
    settings = read_configuration([Path("config/config.yaml"), *configfiles])
    return Path(settings.paths.store), settings.nsd.accept_terms


def planned_peak(configfiles: Sequence[Path]) -> float:
    """Return the peak disk of `brainit plan all`; -1 where Snakemake or a package is missing."""
    try:
        from brainit.commands.dry_run import dry_run
        from brainit.commands.plan import make_plan, read_configuration

        settings = read_configuration([Path("config/config.yaml"), *configfiles])
        jobs = dry_run("all", list(configfiles))
    except (ImportError, PipelineError):
        return -1.0
    return float(make_plan(settings, jobs, 1000.0)["peak_disk_bytes"])


def wrong_packages(pyproject: str) -> tuple[str, ...]:
    """Return the pinned requirements of `pyproject` that are not met, with the installed versions.

    A local version (`2.13.0+cpu`) meets its public one.
    """
    dependencies = pyproject.partition("\ndependencies = [")[2].partition("\n]")[0]
    wrong = []
    for name, version in re.findall(r'"([\w.-]+)(?:\[[^]]*\])?==([^"]+)"', dependencies):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found.partition("+")[0] != version:
            wrong.append(f"{name}=={version} (found {found})")
    return tuple(wrong)


def free_disk(folder: Path) -> int:
    """Return the free bytes where `folder` is or would be made."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def total_memory() -> int:
    """Return the machine's memory, or the limit of the container if that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = _MEMORY_LIMIT.read_text(encoding="utf-8").strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical


def look_at_gpus() -> tuple[tuple[tuple[str, int], ...], str]:
    """Return name and memory of each GPU that torch sees, and the CUDA version it is built for."""
    try:
        import torch
    except ImportError:
        return (), ""
    cuda: Any = torch.cuda
    seen = [cuda.get_device_properties(number) for number in range(cuda.device_count())]
    return tuple((gpu.name, int(gpu.total_memory)) for gpu in seen), torch.version.cuda or ""


def missing_weights(folder: Path) -> tuple[BackboneEntry, ...]:
    """Return the published networks in neither `folder` nor the folder BRAINIT_WEIGHTS names."""
    folders = [folder, Path(os.environ.get("BRAINIT_WEIGHTS") or folder)]
    return tuple(
        entry
        for entry in ENTRIES
        if not entry.is_demo and not any(has_network(parent, entry) for parent in folders)
    )


def has_network(folder: Path, entry: BackboneEntry) -> bool:
    """Return True if a folder holds a network's weights file, or all its published files."""
    if (folder / entry.file).is_file():
        return True
    return all((folder / source.file).is_file() for source in entry.sources)
