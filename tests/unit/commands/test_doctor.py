"""The doctor: faked machines, and the command itself on a Python without any package."""

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from brainit.commands import doctor, doctor_machine
from brainit.commands.doctor import FULL_MEMORY, as_lines, examine
from brainit.commands.doctor_machine import (
    Machine,
    configured,
    missing_weights,
    requirements,
    unknown_hosts,
    wrong_packages,
)
from brainit.core.errors import PipelineError
from brainit.features.registry_entries import ENTRIES

PUBLISHED = tuple(entry for entry in ENTRIES if not entry.is_demo)
COMPLETE = Machine(
    in_repository=True,
    python=(3, 11),
    commands=frozenset(doctor_machine.COMMANDS),
    wrong_packages=(),
    missing_demo_networks=(),
    free_disk=10**12,
    memory=256 * 10**9,
    gpus=(("H100", 85 * 10**9),),
    torch_cuda="12.8",
    missing_weights=(),
    has_terms=True,
    faulty_paths="",
    unknown_hosts=(),
    has_slurm_plugin=True,
    peak_demo=0.4e9,
    peak_full=200e9,
)
DEMO_ONLY = replace(
    COMPLETE,
    commands=frozenset({"make", "git"}),
    free_disk=10**10,
    memory=8 * 10**9,
    gpus=(),
    torch_cuda="",
    missing_weights=PUBLISHED,
    has_terms=False,
    has_slurm_plugin=False,
)


def missing(machine: Machine) -> dict[str, list[str]]:
    return {
        purpose: [finding.what for finding in findings if not finding.ok]
        for purpose, findings in examine(machine).items()
    }


def test_a_complete_machine_lacks_nothing() -> None:
    assert not any(missing(COMPLETE).values())
    assert "MISSING" not in "\n".join(as_lines(examine(COMPLETE)))


def test_a_laptop_can_run_the_demo_and_hears_what_the_rest_needs() -> None:
    found = missing(DEMO_ONLY)
    assert found["the demo"] == []
    assert found["a full run, beside that"][:4] == [
        "NSD's terms",
        "disk, 200.0 GB",
        "memory, 64 GB",
        "weights",
    ]
    assert len(found["a GPU"]) == 4
    assert found["a SLURM cluster"] == ["SLURM's commands", "Snakemake's SLURM plugin"]
    text = "\n".join(as_lines(examine(DEMO_ONLY)))
    for said in ("forms.gle", "accept_terms: true", "pytorch.org", "pip install snakemake-ex"):
        assert said in text
    for entry in PUBLISHED:
        assert f"brainit weights fetch {entry.name}; source: {entry.source}" in text


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"python": (3, 10)}, "Python 3.11 to 3.13"),
        ({"python": (3, 14)}, "Python 3.11 to 3.13"),
        ({"in_repository": False}, "the repository"),
        ({"commands": frozenset({"git"})}, "make and git"),
        ({"wrong_packages": ("torch==2.13.0 (found none)",)}, "packages"),
        ({"missing_demo_networks": ("demo_vit.safetensors",)}, "the demo's networks"),
        ({"free_disk": 3 * 10**8}, "disk, 0.4 GB"),
        ({"free_disk": 9 * 10**8, "peak_demo": -1.0}, "disk, 1.0 GB"),
        ({"memory": 10**9}, "memory, 6 GB"),
        ({"closed_cache": "/home/me/.cache/snakemake"}, "a cache folder for Snakemake"),
        ({"unrecorded_results": "results/x"}, "Snakemake's records of the results"),
    ],
)
def test_each_want_of_the_demo_is_named(change: dict[str, object], what: str) -> None:
    assert missing(replace(COMPLETE, **change))["the demo"] == [what]  # type: ignore[arg-type]


def test_packages_to_install_count_as_disk() -> None:
    bare = replace(DEMO_ONLY, wrong_packages=("torch==2.13.0 (found none)",), free_disk=5 * 10**9)
    assert missing(bare)["the demo"] == ["packages", "disk, 7.4 GB"]


def test_a_small_card_is_told_what_it_can_do() -> None:
    small = replace(COMPLETE, gpus=(("RTX 4090", 25 * 10**9),))
    findings = [finding for finding in examine(small)["a GPU"] if not finding.ok]
    assert len(findings) == 1
    assert "models: authors" in findings[0].line() and "gpu_24gb" in findings[0].line()


def test_memory_of_a_full_run_is_the_most_that_a_rule_asks_for(repository: Path) -> None:
    """At the first attempt, the MLPs of an ablation left out."""
    texts = [path.read_text() for path in (repository / "workflow/rules").glob("*.smk")]
    asked = re.findall(r"mem_mb=\D*?(?:\w+\(.*?)?\b(\d{4,6})\b", "\n".join(texts))
    assert len(asked) > 20 and max(map(int, asked)) * 1e6 == FULL_MEMORY


def test_exit_code_says_whether_the_demo_can_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["doctor"])
    monkeypatch.setattr(doctor, "look_at_machine", lambda configfiles: DEMO_ONLY)
    assert doctor.main() == 0
    broken = replace(DEMO_ONLY, python=(3, 10))
    monkeypatch.setattr(doctor, "look_at_machine", lambda configfiles: broken)
    assert doctor.main() == 2
    said = capsys.readouterr().err
    assert "ERROR: this machine" in said and "the demo" in said and "Python 3.11" in said
    elsewhere = replace(DEMO_ONLY, in_repository=False)
    monkeypatch.setattr(doctor, "look_at_machine", lambda configfiles: elsewhere)
    assert doctor.main() == 0, "the installed package can be used"


def test_a_bare_python_hears_everything(repository: Path) -> None:
    """Without site packages (-S), every package is missing, and all five purposes are listed."""
    environment = {"PYTHONPATH": str(repository / "pipeline_src"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-S", "-m", "brainit.commands.doctor"]
    result = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\nFor ") == 4 and result.stderr.startswith("For the demo: ")
    assert "torch>=" in result.stderr and "(found none)" in result.stderr
    assert "make setup" in result.stderr
    assert "forms.gle" in result.stderr and "pscotti/mindeyev2" in result.stderr


def test_the_installed_package_is_examined_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor_machine, "unknown_hosts", lambda urls: ())
    machine = doctor_machine.look_at_machine([])
    assert not machine.in_repository and not machine.wrong_packages
    assert missing(machine)["the demo"][0] == "the repository"


def test_what_a_run_would_be_refused_for_is_found() -> None:
    faults = {"has_terms": False, "faulty_paths": "paths.store: $X", "unknown_hosts": ("a.org",)}
    machine = replace(COMPLETE, **faults, commands=COMPLETE.commands - {"sbatch"})  # type: ignore[arg-type]
    found = missing(machine)
    assert found["a full run, beside that"] == [
        "NSD's terms",
        "folders of the settings",
        "the network",
    ]
    assert found["a SLURM cluster"] == ["SLURM's commands"]
    text = "\n".join(as_lines(examine(machine)))
    assert all(fact in text for fact in ("$X", "a.org", "BRAINIT_WEIGHTS", "sbatch"))


def test_hosts_without_an_address_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started, silent = threading.Event(), threading.Event()

    def resolve(url: str) -> OSError | None:
        if "slow" in url:
            started.set()
            silent.wait(20)
        return OSError("unknown") if "unknown" in url else None

    monkeypatch.setattr(doctor_machine, "resolution_error", resolve)
    monkeypatch.setattr(doctor_machine, "RESOLVE_S", 0.2)
    urls = ["https://known.org/a", "https://unknown.org/b", "https://slow.org/c", "s3://bucket/d"]
    assert unknown_hosts(urls) == ("slow.org", "unknown.org")
    assert started.is_set()
    silent.set()


def test_a_path_that_cannot_be_expanded_is_no_end_of_the_examination(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.delenv("UNSET_PLACE", raising=False)
    own = tmp_path / "own.yaml"
    own.write_text("paths: {store: $UNSET_PLACE/s}")
    store, urls, has_terms, fault = configured([own])
    assert "paths.store" in fault and "UNSET_PLACE" in fault and not has_terms
    assert store == Path("results/.store") and len(urls) == 2
    own.write_text("nsd: {mask: none}")
    with pytest.raises(PipelineError) as error:
        configured([own])
    assert error.value.code == "invalid-setting"


def test_installed_versions_are_compared_with_their_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = {"torch": "2.13.0+cpu", "numpy": "2.0.0", "scipy": "1.9", "old": "1.10.0rc1"}

    def version(name: str) -> str:
        if name not in there:
            raise doctor_machine.metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(doctor_machine.metadata, "version", version)
    met = ["torch>=2.6", "torch==2.13", "numpy>=2,<3", "old>=1.9,!=1.10.1"]
    unmet = ["numpy>=2.1", "numpy<2", "scipy>=1.10,<2", "torch!=2.13.0", "absent[s3]>=1.0"]
    assert wrong_packages([*met, *unmet]) == (
        "numpy>=2.1 (found 2.0.0)",
        "numpy<2 (found 2.0.0)",
        "scipy>=1.10,<2 (found 1.9)",
        "torch!=2.13.0 (found 2.13.0+cpu)",
        "absent[s3]>=1.0 (found none)",
    )


def test_requirements_are_those_of_the_repository_or_of_the_package(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    here, installed = (requirements(where) for where in (True, False))
    assert len(here) > 20 and any(line.startswith("torch>=") for line in here)
    names = [
        {re.split(r"[<>=! ]", line)[0].lower().replace("_", "-") for line in found}
        for found in (here, installed)
    ]
    assert names[1] <= names[0], "without those of the extras"


def test_weights_are_seen_in_the_store_and_in_a_folder_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, store = tmp_path / "own", tmp_path / "store"
    own.mkdir()
    store.mkdir()
    monkeypatch.setenv("BRAINIT_WEIGHTS", str(own))
    assert missing_weights(store) == PUBLISHED
    (store / "vgg16_bn.safetensors").touch()
    (own / "alexnet-owt-7be5be79.pth").touch()
    found = {entry.name for entry in PUBLISHED} - {entry.name for entry in missing_weights(store)}
    assert found == {"vgg16_bn", "alexnet"}, "LPIPS needs its heads too"


def test_a_cluster_that_forgets_jobs_is_told() -> None:
    found = missing(replace(COMPLETE, min_job_age_s=10))
    assert found["a SLURM cluster"] == ["MinJobAge of 60 s"]
    assert not missing(replace(COMPLETE, min_job_age_s=300))["a SLURM cluster"]
    without = frozenset(doctor_machine.COMMANDS) - {"sacct"}
    assert not missing(replace(COMPLETE, commands=without))["a SLURM cluster"]


def test_min_job_age_is_asked_of_scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor_machine.min_job_age_s() is None
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'MinJobAge               = 2 sec'\n")
    scontrol.chmod(0o755)
    assert doctor_machine.min_job_age_s() == 2


def test_results_copied_without_their_records_are_found(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").symlink_to(repository / "config")
    monkeypatch.chdir(tmp_path)
    assert doctor_machine.unrecorded_results([]) == ""
    made = tmp_path / "results" / "subj01" / "recon_40h" / "provenance.json"
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    assert doctor_machine.unrecorded_results([]) == "results/subj01/recon_40h"
    (tmp_path / ".snakemake" / "metadata" / "x").mkdir(parents=True)
    assert doctor_machine.unrecorded_results([]) == ""


def test_a_read_only_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert doctor_machine.closed_cache() == ""
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert doctor_machine.closed_cache() == str(tmp_path / "cache" / "snakemake")
