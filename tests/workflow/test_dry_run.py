"""The DAG: the jobs that a target needs, and errors before anything runs."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from brainit.steps import STEPS

from .conftest import DryRun, Run, refusal
from .dry_runs import DEMO, DRY, Job, job_counts, parse_jobs

NOT_IN_DEMO = {
    "train_demo_backbones",
    "fetch_weights",
    "prepare_lab_subject",
    "join_cohort",
    "screen_external",
    "download_external",
    "prepare_external",
    "extract_latents",
    "prepare_nsdsynthetic",
    "prepare_nsdimagery",
    "import_authors",
    "evaluate_encoder",
    "train_peer",
    "adapt_peer",
    "halve_trials",
    "weigh_voxels",
    "reconstruct_searched",
    "check_claims",
}


@pytest.fixture(scope="session")
def demo_jobs(dry_run: DryRun) -> list[Job]:
    """All jobs of the demo with their inputs and outputs, from the dry run's text."""
    return parse_jobs(dry_run("all", *DEMO))


def test_demo_runs_every_step_of_the_pipeline(demo_jobs: list[Job]) -> None:
    rules = {str(job["rule"]).replace("_transfer", "") for job in demo_jobs}
    missing = set(STEPS) - rules - NOT_IN_DEMO
    assert not missing


def test_paper_config_lists_the_whole_dag(dry_run: DryRun) -> None:
    jobs = job_counts(dry_run("all"))
    assert jobs["prepare_betas"] == 8
    assert jobs["train_encoder"] == 5, "pool all and one without each evaluated subject"
    assert jobs["train_joint"] == 5
    assert jobs["adapt_encoder"] == 6, "1 h of each evaluated subject, 15 and 30 min of the first"
    assert jobs["gather_reconstructions"] == 10 + 10, "Brain-IT's own runs and those of ridge"
    assert jobs["evaluate"] == 18 + 18 + 10, "three kinds of the full runs, else the final images"
    assert jobs["pick_nearest"] == 10 and jobs["predict_ridge"] == 20
    assert jobs["draw_places"] == 0, "only a simulation has places"
    assert jobs["predict_peer"] == 4 and jobs["identify_images"] == 8, "stage 1 and ridge, for T6"
    assert jobs["simulate_nsd"] == 0
    assert jobs["check_results"] == 1, "what needs no truth"
    of_baselines = 10 + 20 + (10 + 4 + 10) + 10 + 28  # picked, predicted, drawn, gathered, scored
    assert jobs["total"] - of_baselines <= 200


def test_recorded_brains_are_checked_and_the_report_shows_it(dry_run: DryRun) -> None:
    text = dry_run("everything")
    jobs = {str(job["rule"]): job for job in parse_jobs(text)}
    assert jobs["check_results"]["output"] == ["results/checks.csv"]
    for reader in ("make_report", "check_claims"):
        assert "results/checks.csv" in jobs[reader]["input"], reader
    assert "results/checks_full.csv" in jobs["make_report_full"]["input"]
    (command,) = re.findall(r"-m brainit\.steps\.check_results .*", text)
    assert "--truth" not in command and "--card" not in command
    assert " --earlier results/checks.csv" in text and " --checks results/checks.csv" in text


def test_cached_latents_are_made_once_and_read_by_stage_2_alone(
    snakemake: Run, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"features": {"cache_latents": True}}))
    result = snakemake("results/demo/subj01/recon_1h", *DRY, *DEMO, str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    text = result.stdout
    jobs = parse_jobs(text)
    assert job_counts(text)["extract_latents"] == 2
    made = {path for job in jobs if job["rule"] == "extract_latents" for path in job["output"]}
    folders = [f"results/demo/group/latents/{name}" for name in ("stimuli", "external")]
    assert made == set(folders)
    readers = {job["rule"] for job in jobs if made & set(job["input"])}
    assert readers == {"train_joint", "adapt_joint"}
    for step in readers:
        commands = re.findall(rf"-m brainit\.steps\.{step} .*", text)
        flags = f" --latents {folders[0]} --external-latents {folders[1]} "
        assert commands and all(flags in command for command in commands)


def test_one_target_needs_only_its_own_pool(dry_run: DryRun) -> None:
    text = dry_run("results/demo/subj01/recon_1h", *DEMO)
    jobs = parse_jobs(text)
    outputs = [path for job in jobs for path in job["output"]]
    assert any("group/without_subj01/main/joint" in path for path in outputs)
    assert not any("group/all/" in path for path in outputs)
    assert job_counts(text)["prepare_betas"] == 4


def test_metric_networks_are_inputs_of_scores_and_checks_alone(
    demo_jobs: list[Job], repository: Path
) -> None:
    demo = yaml.safe_load((repository / "config" / "demo.yaml").read_text())
    names = demo["features"]["metrics"]
    readers = {
        job["rule"]
        for job in demo_jobs
        for path in job["input"]
        if any(f"{name}.safetensors" in path for name in names)
    }
    assert readers == {"evaluate", "extract_true_features", "check_results"}
    others = {value for key, value in demo["features"].items() if key != "metrics"}
    assert not set(names) & {str(value) for value in others}


def test_truth_is_read_at_the_end_and_by_the_oracle_alone(demo_jobs: list[Job]) -> None:
    readers = {
        job["rule"] for job in demo_jobs for path in job["input"] if "/simulated/truth" in path
    }
    scoring = {"evaluate", "extract_true_features"}
    assert readers == {"check_results", *scoring, "make_figures", "draw_places"}


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ({"encoder": {"lrr": 1.0}}, "lrr"),
        ({"encoder": {"lr": "3e-4"}}, "3e-4"),
        ({"encodr": {"lr": 1.0}}, "encodr"),
        ({"dip": {"iterations": -5}}, "-5"),
    ],
)
def test_bad_config_stops_before_any_job(
    snakemake: Run, tmp_path: Path, override: dict[str, object], named: str
) -> None:
    assert named in refusal(snakemake, tmp_path, override)


def test_without_accepted_terms_the_run_stops_at_once(snakemake: Run, tmp_path: Path) -> None:
    words = ["--cores", "1", "--config", f'paths={{"results":"{tmp_path}","store":"{tmp_path}/s"}}']
    result = snakemake(*words, "--", f"{tmp_path}/subj01/design/trials.csv")
    text = result.stdout + result.stderr
    assert result.returncode != 0
    assert "forms.gle" in text
    assert "accept_terms" in text


@pytest.mark.parametrize("profile", [(), ("--profile", "slurm")])
def test_literal_commands_find_their_profile(snakemake: Run, profile: tuple[str, ...]) -> None:
    result = snakemake(*profile, "--dry-run", "--cores", "1", "results/subj01/recon_1h")
    if "slurm" in profile and "invalid choice: 'slurm'" in result.stderr:
        pytest.skip("the SLURM executor plugin is not installed")
    assert result.returncode == 0, result.stdout + result.stderr
    assert job_counts(result.stdout + result.stderr)["gather_reconstructions"] == 1


def rule_texts(repository: Path) -> dict[str, str]:
    texts = {}
    for path in sorted((repository / "workflow" / "rules").glob("[0-9]*.smk")):
        for block in re.split(r"\n(?=\s*(?:use )?rule )", path.read_text()):
            head = re.match(r"\s*rule (\w+):", block)
            if head:
                texts[head[1]] = block
    return texts


def test_rules_steps_and_readme_rows_agree(repository: Path) -> None:
    aliases = {"tables", "figures", "report", "ablations", "peers", "everything"}
    rules = set(rule_texts(repository)) - aliases
    files = {p.stem for p in (repository / "pipeline_src/brainit/steps").glob("[a-z]*.py")}
    assert files == set(STEPS), "add the step to brainit.steps.STEPS or remove its file"
    assert rules | {"train_demo_backbones"} == set(STEPS), "each step has one rule of its name"
    told = (repository / "workflow/README.md").read_text()
    missing = [step for step in STEPS if f"`{step}`" not in told]
    assert not missing, "add a row to the step table of workflow/README.md"


def test_every_rule_digests_its_code_and_logs(repository: Path) -> None:
    for name, text in rule_texts(repository).items():
        if "shell:" in text:
            assert f'code_digest("brainit.steps.{name}")' in text, name
            assert '" &> {log:q}"' in text, name
            suffix = "_{kind}" if name == "train_bit" else ""
            assert f'settings=settings("{name}{suffix}")' in text, name
            launcher = "{params.launcher:q} " if name == "train_joint" else ""
            assert f'"python {launcher}-m brainit.steps.{name}"' in text, name


def test_every_step_says_what_it_takes(repository: Path) -> None:
    for step in STEPS:
        text = (repository / "pipeline_src/brainit/steps" / f"{step}.py").read_text()
        assert ast.get_docstring(ast.parse(text)), step
        assert len(text.splitlines()) <= 80, step


def test_the_rules_share_few_helpers(repository: Path) -> None:
    """Logic is in `brainit.workflow`, where it is typed and tested."""
    files = (repository / "workflow" / "rules").glob("[!0-9]*.smk")
    assert sum(len(path.read_text().splitlines()) for path in files) < 200
