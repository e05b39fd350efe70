"""The doctor: faked machines, and the command itself on a Python without any package."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from brainit.commands import doctor, doctor_machine
from brainit.commands.doctor import FULL_MEMORY, as_lines, examine
from brainit.commands.doctor_machine import Machine, missing_weights, wrong_packages
from brainit.core.errors import PipelineError
from brainit.features.registry_entries import ENTRIES

PUBLISHED = tuple(entry for entry in ENTRIES if not entry.is_demo)
COMPLETE = Machine(
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
        ({"python": (3, 12)}, "Python 3.11"),
        ({"commands": frozenset({"git"})}, "make and git"),
        ({"wrong_packages": ("torch==2.13.0 (found none)",)}, "packages"),
        ({"missing_demo_networks": ("demo_vit.safetensors",)}, "the demo's networks"),
        ({"free_disk": 3 * 10**8}, "disk, 0.4 GB"),
        ({"free_disk": 9 * 10**8, "peak_demo": -1.0}, "disk, 1.0 GB"),
        ({"memory": 10**9}, "memory, 6 GB"),
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
    asked = re.findall(r"mem_mb=(?:\w+\()?(\d+)", "\n".join(texts))
    assert len(asked) > 20 and max(map(int, asked)) * 1e6 == FULL_MEMORY


def test_exit_code_says_whether_the_demo_can_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["doctor"])
    monkeypatch.setattr(doctor, "look_at_machine", lambda configfiles: DEMO_ONLY)
    assert doctor.main() == 0
    broken = replace(DEMO_ONLY, python=(3, 12))
    monkeypatch.setattr(doctor, "look_at_machine", lambda configfiles: broken)
    assert doctor.main() == 2
    assert "ERROR: this machine: expected the requirements of the demo, found no Python 3.11" in (
        capsys.readouterr().err
    )


def test_a_bare_python_hears_everything(repository: Path) -> None:
    """Without site packages (-S), every package is missing, and all four purposes are listed."""
    environment = {"PYTHONPATH": str(repository / "pipeline_src"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-S", "-m", "brainit.commands.doctor"]
    result = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\nFor ") == 3 and result.stderr.startswith("For the demo: ")
    assert "torch==2.13.0 (found none)" in result.stderr and "make setup" in result.stderr
    assert "forms.gle" in result.stderr and "pscotti/mindeyev2" in result.stderr


def test_other_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError) as error:
        doctor_machine.look_at_machine([])
    assert error.value.code == "missing-file" and error.value.where == "config/config.yaml"


def test_pinned_packages_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"torch": "2.13.0+cpu", "numpy": "2.0.0"}

    def version(name: str) -> str:
        if name not in there:
            raise doctor_machine.metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(doctor_machine.metadata, "version", version)
    text = (
        '[project]\ndependencies = [\n    "torch==2.13.0",\n    "numpy==2.4.6",\n'
        '    "absent[s3]==1.0",\n]\n[x]\ndev = [\n    "other==1",\n]\n'
    )
    assert wrong_packages(text) == ("numpy==2.4.6 (found 2.0.0)", "absent==1.0 (found none)")


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
