"""The SLURM profile: literal commands, and the `sbatch` request of every rule.

The lines are the executor plugin's own, made of each job of a dry run; nothing is submitted.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra

from brainit.core.errors import PipelineError
from brainit.workflow.digest import PACKAGE, Code
from brainit.workflow.requests import require_extra_kept, rules_requesting

from .conftest import Run
from .dry_runs import DEMO, Job, job_counts, parse_jobs
from .test_dry_run import rule_texts

ALIASES = {"all", "tables", "figures", "report", "ablations", "everything"}
FETCHING = {"download", "download_images", "download_external", "fetch_weights", "import_authors"}


class Resources(SimpleNamespace):
    """A job's resources as the plugin reads them."""

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


def resources(block: Job) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in block["resources"].split(", "))
    return {name: value for name, _, value in pairs}


def sbatch_line(block: Job) -> str:
    given: dict[str, Any] = {
        name: int(value) if value.isdigit() else value.strip("'")
        for name, value in resources(block).items()
    }
    job: Any = SimpleNamespace(
        resources=Resources(**given), threads=int(block.get("threads", "1")), is_group=lambda: False
    )
    validate_slurm_extra(job)
    partition = f"-p {given['slurm_partition']}" if "slurm_partition" in given else ""
    account = f"-A {given['slurm_account']}" if "slurm_account" in given else ""
    params = {
        "run_uuid": "u",
        "slurm_logfile": "l",
        "comment_str": "c",
        "account": account,
        "partition": partition,
        "workdir": "w",
    }
    return get_submit_command(job, params) + set_gres_string(job)


def edited_profile(repository: Path, folder: Path, **lines: str) -> str:
    """Return a copy of the profile with some of its one-line variables set."""
    text = (repository / "profiles/slurm/config.yaml").read_text()
    for name, value in lines.items():
        text, n = re.subn(rf'^  {name}: ""', f"  {name}: {value}", text, flags=re.MULTILINE)
        assert n == 1, name
    (folder / "config.yaml").write_text(text)
    return str(folder)


def dry_run(snakemake: Run, *words: str) -> list[Job]:
    result = snakemake("--dry-run", "--forceall", "--nolock", *words)
    assert result.returncode == 0, result.stdout + result.stderr
    found = parse_jobs(result.stdout + result.stderr)
    return [block for block in found if block["rule"] not in ALIASES]


@pytest.fixture(scope="module")
def plain(snakemake: Run) -> list[Job]:
    """All jobs of the paper's `all`, by the profile as it is."""
    return dry_run(snakemake, "--profile", "slurm", "all")


@pytest.fixture(scope="module")
def split(snakemake: Run, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Give the same with a partition for rules without GPU work, and downloads submitted."""
    lines = {"partition": "a100", "cpu_partition": "cpu", "account": "lab", "constraint": "big"}
    lines["training_runtime"] = "1439"
    profile = edited_profile(repository, tmp_path_factory.mktemp("profile"), **lines)
    config = Path(profile) / "submit.yaml"
    config.write_text("run: {submit_downloads: true}\n")
    return dry_run(snakemake, "--profile", profile, "--configfile", str(config), "--", "all")


def derived_rules(repository: Path) -> dict[str, str]:
    """Return the rules made by `use rule BASE as NAME`: name -> base."""
    files = sorted((repository / "workflow" / "rules").glob("[0-9]*.smk"))
    found = [
        re.findall(r"^\s*use rule (\w+) as (\w+)", path.read_text(), re.MULTILINE) for path in files
    ]
    return {name: base for pairs in found for base, name in pairs}


def gpu_rules(repository: Path) -> set[str]:
    """Return the rules that ask for a GPU themselves, and those made of them."""
    asking = {
        name
        for name, text in rule_texts(repository).items()
        if re.search(r"gpu=(1|PARAMS.joint_processes),", text)
    }
    return asking | {name for name, base in derived_rules(repository).items() if base in asking}


@pytest.mark.parametrize("target", ["all", "results/subj01/recon_1h"])
@pytest.mark.parametrize("profile", [(), ("--profile", "slurm")])
def test_literal_commands_need_no_cores(
    snakemake: Run, profile: tuple[str, ...], target: str
) -> None:
    result = snakemake(*profile, "--dry-run", target)
    assert result.returncode == 0, result.stdout + result.stderr
    assert job_counts(result.stdout + result.stderr)["total"] > 1


def test_cores_are_set_only_without_a_profile(repository: Path) -> None:
    """On a cluster they would cap every job at the head node's cores."""
    import yte

    text = (repository / "profiles/default/config.yaml").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SNAKEMAKE_PROFILE", raising=False)
        for words, expected in [
            (["all"], "all"),
            (["--profile", "slurm", "all"], None),
            (["--profile=slurm", "all"], None),
            (["--executor", "slurm", "all"], None),
        ]:
            patch.setattr("sys.argv", ["snakemake", *words])
            assert yte.process_yaml(text, require_use_yte=True).get("cores") == expected
        patch.setattr("sys.argv", ["snakemake", "all"])
        patch.setenv("SNAKEMAKE_PROFILE", "slurm")
        assert "cores" not in yte.process_yaml(text, require_use_yte=True)


def test_every_job_has_resources_log_and_benchmark(plain: list[Job], repository: Path) -> None:
    on_gpu = gpu_rules(repository)
    of_baselines = [block for block in plain if re.search("ridge|knn|nearest", block["log"])]
    assert len(of_baselines) == 96 and len(plain) - len(of_baselines) <= 200
    for block in plain:
        assert {"log", "benchmark", "resources"} <= set(block), block["rule"]
        given = resources(block)
        assert int(given["gpu"]) == (block["rule"] in on_gpu), block["rule"]
        assert int(given["mem_mb"]) >= 1000 and int(given["runtime"]) >= 10, block["rule"]


def test_what_needs_the_network_runs_where_snakemake_does(repository: Path) -> None:
    """A dry run does not tell local jobs from others."""
    texts = rule_texts(repository)
    local = {name for name, text in texts.items() if "localrule: LOCAL_DOWNLOADS" in text}
    assert local == {*FETCHING, "prepare_betas", "prepare_nsdsynthetic", "prepare_nsdimagery"}


def test_gpu_rules_ask_for_a_gpu_out_of_the_box(plain: list[Job], repository: Path) -> None:
    on_gpu = gpu_rules(repository)
    for block in plain:
        line = sbatch_line(block)
        given = resources(block)
        assert (" --gpus=1" in line) == (block["rule"] in on_gpu), line
        assert "--gres" not in line, line
        assert f" --mem {given['mem_mb']}" in line and f" -t {given['runtime']}" in line, line
        assert f" --cpus-per-task={block.get('threads', '1')}" in line, line
        assert " -p " not in line and " -A " not in line and " -C " not in line, line


def test_one_line_sends_rules_without_gpu_work_to_their_partition(
    split: list[Job], repository: Path
) -> None:
    on_gpu = gpu_rules(repository)
    for block in split:
        line = sbatch_line(block)
        assert " -A lab" in line, line
        if block["rule"] in on_gpu:
            assert " --gpus=1" in line and " -p a100" in line and " -C big" in line, line
        else:
            assert "--gpus" not in line and "--gres" not in line, line
            assert " -p cpu" in line and " -C " not in line and " --ntasks=1" in line, line


def test_a_partition_of_rules_without_gpu_work_is_for_these_alone(
    snakemake: Run, repository: Path, tmp_path: Path
) -> None:
    """GPU jobs then go to the cluster's default partition."""
    on_gpu = gpu_rules(repository)
    profile = edited_profile(repository, tmp_path, cpu_partition="cpu")
    for block in dry_run(snakemake, "--profile", profile, "everything"):
        line, given = sbatch_line(block), resources(block)
        if block["rule"] in on_gpu:
            assert " --gpus=1" in line and "slurm_partition" not in given, line
        else:
            assert " -p cpu " in line and "--gpus" not in line, line


def test_a_partition_alone_is_for_all_rules(
    snakemake: Run, repository: Path, tmp_path: Path
) -> None:
    profile = edited_profile(repository, tmp_path, partition="a100")
    for block in dry_run(snakemake, "--profile", profile, "results/subj01/recon_1h"):
        assert " -p a100 " in sbatch_line(block), block["rule"]


def test_the_profile_finds_the_rules_that_use_a_gpu_and_the_trainings(repository: Path) -> None:
    folder, texts = repository / "workflow" / "rules", rule_texts(repository)
    assert set(rules_requesting("gpu", folder)) == gpu_rules(repository)
    resuming = {name for name, rule in texts.items() if "--checkpoint-minutes" in rule}
    resuming |= {name for name, base in derived_rules(repository).items() if base in resuming}
    assert set(rules_requesting("checkpoint_minutes", folder)) == resuming
    listed = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    written = json.dumps(listed)
    assert not [name for name in texts if f'"{name}"' in written], "no rule is listed by hand"


def test_the_rules_that_request_a_gpu_are_those_whose_step_computes_on_one(
    repository: Path,
) -> None:
    """A step computes on the device of `run.device` where its code reaches `run_device`."""
    code, bases = Code(PACKAGE.parent), derived_rules(repository)
    steps = {
        name: step[1]
        for name, text in rule_texts(repository).items()
        if (step := re.search(r"-m brainit\.steps\.(\w+)", text))
    }
    assert len(set(steps.values())) > 25
    on_device = {
        step
        for step in set(steps.values())
        if any(
            line.startswith("brainit.core.device:run_device ")
            for line in code.covered(f"brainit.steps.{step}")
        )
    }
    computing = {name for name, step in steps.items() if step in on_device}
    computing |= {name for name, base in bases.items() if steps.get(base) in on_device}
    assert computing == gpu_rules(repository)


def test_the_profile_needs_the_rules_in_the_working_directory(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as error:
        rules_requesting("gpu", tmp_path)
    assert error.value.code == "missing-file" and str(tmp_path) in str(error.value)


def test_trainings_are_told_before_their_time_limit(plain: list[Job]) -> None:
    warned = {b["rule"] for b in plain if "--signal=TERM@300" in sbatch_line(b)}
    assert {"train_encoder", "train_joint", "adapt_bit"} <= warned
    assert not warned & {"evaluate", "reconstruct_fused", "make_table", "cluster_voxels"}


def test_qos_and_further_options_reach_every_rule(
    snakemake: Run, repository: Path, tmp_path: Path
) -> None:
    extra = "--reservation=lab --mail-type=FAIL"
    profile = edited_profile(repository, tmp_path, qos="gpu", extra=f'"{extra}"')
    jobs = dry_run(snakemake, "--profile", profile, "all")
    rules = {block["rule"] for block in jobs}
    assert len(rules) > 25
    trainings = set()
    for block in jobs:
        line = sbatch_line(block)
        assert " --qos=gpu " in line and f"{extra} -D" in line, line
        if "--signal=TERM@300" in line:
            trainings.add(block["rule"])
    assert trainings == rules & set(
        rules_requesting("checkpoint_minutes", repository / "workflow/rules")
    )


def test_other_rules_may_have_options_of_their_own(snakemake: Run) -> None:
    """As those of an outer workflow, which uses this one as a module."""
    defaults = ("--default-resources", "slurm_extra='--qos=gpu'")
    own = ("--set-resources", "evaluate:slurm_extra='--mem-bind=local'")
    result = snakemake("--list-rules", *defaults, *own)
    assert result.returncode == 0, result.stderr
    assert "evaluate" in result.stdout.split()


def test_options_that_the_trainings_would_lose_are_refused(snakemake: Run) -> None:
    words = ("--profile", "slurm", "--default-resources", "slurm_extra='--qos=gpu'", "--", "all")
    result = snakemake("--dry-run", "--nolock", *words)
    text = result.stdout + result.stderr
    assert result.returncode != 0 and "--qos=gpu" in text and "__variables__" in text
    own, all_rules = {"train_bit": {"slurm_extra": "'--b'"}}, {"slurm_extra": "'--a'"}
    with pytest.raises(PipelineError) as error:
        require_extra_kept(all_rules, own, ["train_bit"])
    assert error.value.code == "invalid-setting" and "train_bit" in error.value.found
    require_extra_kept(all_rules, {"train_bit": {"slurm_extra": "'--b --a'"}}, ["train_bit"])
    require_extra_kept(None, own, ["train_bit"])
    require_extra_kept(all_rules, own, ["of_this_workflow"])  # a rule of an outer workflow


def test_one_line_limits_the_time_of_trainings(split: list[Job]) -> None:
    limited = {block["rule"] for block in split if " -t 1439 " in sbatch_line(block)}
    assert limited == {b["rule"] for b in split if "--signal=TERM@300" in sbatch_line(b)}
    assert {"train_joint", "adapt_encoder"} <= limited


def test_trainings_are_cut_into_jobs_of_at_most_max_hours(
    plain: list[Job], snakemake: Run, tmp_path: Path
) -> None:
    """The hours are no part of the settings that a job is given: a change repeats no job."""
    overlay = tmp_path / "hours.yaml"
    overlay.write_text("run: {max_hours: 6}\n")
    words = ("--profile", "slurm", "--configfile", str(overlay), "--", "all")
    result = snakemake("--dry-run", "--forceall", "--nolock", *words)
    text = result.stdout + result.stderr
    assert " --max-hours 6" in text and '"max_hours"' not in text and '"seed"' in text
    cut = {block["log"]: block for block in parse_jobs(text) if "log" in block}
    for block in plain:
        before, after = resources(block), resources(cut[block["log"]])
        is_training = "checkpoint_minutes" in before
        minutes = min(int(before["runtime"]), 390) if is_training else int(before["runtime"])
        assert int(after["runtime"]) == minutes, block["rule"]
        assert after.get("max_hours") == ("6" if is_training else None)


def test_a_retry_asks_for_more(plain: list[Job], snakemake: Run) -> None:
    again = dry_run(snakemake, "--profile", "slurm", "--attempt", "2", "all")
    later = {block["log"]: block for block in again}
    for before in plain:
        one, two = resources(before), resources(later[before["log"]])
        assert int(two["mem_mb"]) == 2 * int(one["mem_mb"]), before["rule"]
        factor = 1 if "checkpoint_minutes" in one else 2
        assert int(two["runtime"]) == factor * int(one["runtime"]), before["rule"]


def test_no_rule_retries_by_itself(repository: Path) -> None:
    """The plugin would retry such a rule within the allocation that was too small."""
    for name, text in rule_texts(repository).items():
        assert "retries:" not in text, name


def test_demo_rules_are_jobs_too(snakemake: Run) -> None:
    jobs = dry_run(snakemake, *DEMO, "--profile", "slurm", "--", "all")
    lines = {block["rule"]: sbatch_line(block) for block in jobs}
    assert {"simulate_nsd", "prepare_betas", "check_results"} <= set(lines)
    assert " --gpus=1" in lines["train_encoder"] and " --gpus" not in lines["prepare_betas"]


def test_conda_installs_what_set_up_installs(repository: Path) -> None:
    """Snakemake builds the environment elsewhere, so no path in its file may be relative."""
    environment = yaml.safe_load((repository / "envs" / "pipeline.yaml").read_text())
    assert all(isinstance(package, str) for package in environment["dependencies"])
    script = (repository / "envs" / "pipeline.post-deploy.sh").read_text()
    assert "install --quiet torch torchvision -e" in (repository / "Makefile").read_text()
    assert 'install torch torchvision -e "$PWD" -c "$PWD/envs/constraints.txt"' in script
    lock = (repository / "envs" / "constraints.txt").read_text()
    assert len(re.findall(r"^torch(?:vision)?==\S+", lock, re.MULTILINE)) == 2
