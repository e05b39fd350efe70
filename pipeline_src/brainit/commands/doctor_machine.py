"""Checks of the machine for `brainit doctor`; runs on a bare machine, imports the standard library.

Facts that need a package are checked if it is installed, and unknown otherwise.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from brainit.core.errors import PipelineError
from brainit.features.registry_entries import ENTRIES, BackboneEntry, offline_folder
from brainit.workflow.folders import EXPANDED
from brainit.workflow.sources import is_remote, resolution_error
from brainit.workflow.terms import LAION_REQUEST_FILE, LAION_REQUEST_ID

BASE_CONFIG = Path("config/config.yaml")
RECORDS = Path(".snakemake/metadata")
"""Where Snakemake notes the settings and the code that made a file."""
HUB, AMAZON = "https://huggingface.co", "https://s3.amazonaws.com"
RESOLVE_S = 5.0
"""Without a network a resolver may take half a minute to say so."""
COMMANDS = ("make", "git", "nvidia-smi", "sbatch", "squeue", "sacct", "scancel")
_DEMO_NETWORKS = Path(__file__).parents[1] / "features" / "demo"
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """Resources of a machine; sizes in bytes.

    `wrong_packages` are requirements with the installed versions; `gpus` are names and memory;
    `torch_cuda` is the CUDA version torch was built for, empty for none. `faulty_paths` says which
    path of the settings cannot be expanded, empty for none. `peak_demo` and
    `peak_full` are the disk that the jobs still to run need at most, -1 where it is not known.
    """

    in_repository: bool
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
    faulty_paths: str
    unknown_hosts: tuple[str, ...]
    has_slurm_plugin: bool
    peak_demo: float
    peak_full: float
    closed_cache: str = ""
    """Snakemake's cache folder, where it cannot be written; else empty."""
    unrecorded_results: str = ""
    """A finished run without Snakemake's records of it, as after a copy; else empty."""
    min_job_age_s: int | None = None
    """Seconds for which `squeue` knows a finished job; None where that is unknown."""
    has_laion_request: bool = True
    """Whether a request id for LAION-fMRI's images is at hand."""


def look_at_machine(configfiles: Sequence[Path]) -> Machine:
    """Return the machine's resources, and the requirements of the repository in this folder.

    Elsewhere the requirements are those of the installed package. Raises `PipelineError` where the
    configuration is faulty.
    """
    in_repository = BASE_CONFIG.is_file() and Path("pyproject.toml").is_file()
    store, urls, has_terms, faulty_paths = configured(configfiles)
    weights = missing_weights(store / "weights")
    urls += [source.url or HUB for entry in weights for source in entry.sources]
    gpus, cuda = look_at_gpus()
    return Machine(
        in_repository=in_repository,
        python=sys.version_info[:2],
        commands=frozenset(name for name in COMMANDS if shutil.which(name)),
        wrong_packages=wrong_packages(requirements(in_repository)),
        missing_demo_networks=tuple(
            entry.file
            for entry in ENTRIES
            if entry.is_demo and not (_DEMO_NETWORKS / entry.file).is_file()
        ),
        free_disk=free_disk(store),
        memory=total_memory(),
        gpus=gpus,
        torch_cuda=cuda,
        missing_weights=weights,
        has_terms=has_terms,
        faulty_paths=faulty_paths,
        unknown_hosts=unknown_hosts(urls),
        has_slurm_plugin=find_spec("snakemake_executor_plugin_slurm") is not None,
        peak_demo=planned_peak([Path("config/demo.yaml")]) if in_repository else -1.0,
        peak_full=planned_peak(configfiles) if in_repository else -1.0,
        closed_cache=closed_cache(),
        unrecorded_results=unrecorded_results(configfiles) if in_repository else "",
        min_job_age_s=min_job_age_s(),
        has_laion_request=has_laion_request(),
    )


def has_laion_request() -> bool:
    """Return True if a request id for LAION-fMRI's images is in the environment or its file."""
    is_set = bool(os.environ.get(LAION_REQUEST_ID))
    return is_set or (Path.home() / LAION_REQUEST_FILE).is_file()


def closed_cache() -> str:
    """Return the folder of Snakemake's cache if neither it nor a parent can be written."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snakemake"
    return "" if os.access(_existing(folder), os.W_OK) else str(folder)


def unrecorded_results(configfiles: Sequence[Path]) -> str:
    """Return a finished run in the results where Snakemake has no record of any file."""
    if RECORDS.is_dir() and any(RECORDS.iterdir()):
        return ""
    try:
        from brainit.commands.plan.contents import read_configuration

        results = Path(read_configuration([BASE_CONFIG, *configfiles]).paths.results)
    except (ImportError, PipelineError):
        return ""
    finished = sorted(results.glob("*/recon_*/provenance.json"))
    return str(finished[0].parent) if finished else ""


def min_job_age_s() -> int | None:
    """Return SLURM's MinJobAge in seconds; None without an answer of `scontrol`."""
    try:
        answer = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=RESOLVE_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    stated = re.search(r"^MinJobAge\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    return int(stated[1]) if stated else None


def configured(configfiles: Sequence[Path]) -> tuple[Path, list[str], bool, str]:
    """Return the store's folder, the servers' URLs, whether NSD's terms are accepted, and a fault.

    As shipped where packages are missing or a path cannot be expanded, which the fault says.
    """
    try:
        from brainit.commands.plan.contents import read_configuration
    except ImportError:
        return Path("results/.store"), [], False, ""
    base = [BASE_CONFIG] if BASE_CONFIG.is_file() else []
    try:
        settings, fault = read_configuration([*base, *configfiles]), ""
    except PipelineError as error:
        if not error.where.startswith(EXPANDED):
            raise
        settings, fault = read_configuration(base), f"{error.where}: {error.found}"
    urls = [url for url in (settings.paths.source, settings.paths.coco_source) if is_remote(url)]
    urls = [] if settings.run.simulation else urls
    return Path(settings.paths.store), urls, settings.nsd.accept_terms, fault


def unknown_hosts(urls: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts of some URLs that cannot be resolved within `RESOLVE_S` seconds, sorted.

    An address of S3 stands for Amazon's server.
    """
    hosts = {f"https://{urlsplit(url).hostname}" for url in urls if not url.startswith("s3:")}
    hosts |= {AMAZON for url in urls if url.startswith("s3:")}
    answers: dict[str, bool] = {}

    def ask(url: str) -> None:
        answers[url] = resolution_error(url) is None

    threads = [Thread(target=ask, args=(url,), daemon=True) for url in hosts]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + RESOLVE_S
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return tuple(sorted(str(urlsplit(url).hostname) for url in hosts if not answers.get(url)))


def planned_peak(configfiles: Sequence[Path]) -> float:
    """Return the peak disk of `brainit plan all`; -1 where Snakemake or a package is missing."""
    try:
        from brainit.commands.dry_run import dry_run
        from brainit.commands.plan.contents import make_plan, read_configuration

        settings = read_configuration([BASE_CONFIG, *configfiles])
        jobs = dry_run("all", list(configfiles))
    except (ImportError, PipelineError):
        return -1.0
    return float(make_plan(settings, jobs, 1000.0)["peak_disk_bytes"])


def requirements(in_repository: bool) -> list[str]:
    """Return the requirements in pyproject.toml here, or those of the installed package."""
    if in_repository:
        text = Path("pyproject.toml").read_text(encoding="utf-8")
        return re.findall(r'"([^"]+)"', text.partition("\ndependencies = [")[2].partition("\n]")[0])
    try:
        stated = metadata.requires("brainit") or []
    except metadata.PackageNotFoundError:
        stated = []
    return [requirement for requirement in stated if "extra ==" not in requirement]


def wrong_packages(required: Sequence[str]) -> tuple[str, ...]:
    """Return the requirements that are not met, with the installed versions.

    A requirement is a name with bounds on its version, such as `numpy>=2,<3`.
    """
    wrong = []
    for requirement in required:
        name = re.split(r"[^\w.-]", requirement)[0]
        bounds = re.findall(r"(>=|<|!=|==)\s*([\d.]+)", requirement)
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found == "none" or not all(_meets(found, *bound) for bound in bounds):
            wrong.append(f"{requirement} (found {found})")
    return tuple(wrong)


def _meets(found: str, comparison: str, bound: str) -> bool:
    """Return True if a version meets a bound; `2.13.0+cpu` and `2.13.0rc1` count as 2.13.0."""
    here, there = _release(found), _release(bound)
    here, there = (part + (0,) * (8 - len(part)) for part in (here, there))
    compare = {">=": here >= there, "<": here < there, "!=": here != there, "==": here == there}
    return compare[comparison]


def _release(version: str) -> tuple[int, ...]:
    digits = re.match(r"[\d.]*\d", version)
    return tuple(map(int, digits[0].split("."))) if digits else ()


def free_disk(folder: Path) -> int:
    """Return the free bytes where `folder` is or would be made."""
    return shutil.disk_usage(_existing(folder)).free


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return there


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
    folders = [folder, offline_folder() or folder]
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
