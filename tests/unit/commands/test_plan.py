"""The plan: file counts times sizes as published, and the peak over an order of jobs."""

import pytest

from brainit.commands.plan import as_lines, make_plan, parse_jobs
from brainit.commands.plan_disk import Event, peak
from brainit.commands.plan_sizes import Job
from brainit.core.settings import Settings, parse_sections

SUBJECTS = [f"subj0{number}" for number in range(1, 9)]
DRY_RUN = """
rule prepare_betas:
    input: results/.store/nsd
    wildcards: subject=subj03
    resources: mem_mb=2000
localrule all:
    jobid: 0
rule synthesize_fmri:
    wildcards: pool=without_subj01, subject=subj02
"""


def betas_jobs(*subjects: str) -> list[Job]:
    return [Job("prepare_betas", (("subject", subject),)) for subject in subjects]


def gigabytes(plan: dict, what: str) -> float:
    found = [d["bytes"] for d in plan["downloads"] if d["what"].startswith(what)]
    return round(sum(found) / 1e9, 1)


def test_jobs_are_read_from_a_dry_run() -> None:
    assert parse_jobs(DRY_RUN) == [
        Job("prepare_betas", (("subject", "subj03"),)),
        Job("all"),
        Job("synthesize_fmri", (("pool", "without_subj01"), ("subject", "subj02"))),
    ]


def test_downloads_of_the_paper_are_the_published_sizes() -> None:
    jobs = [*betas_jobs(*SUBJECTS), Job("download"), Job("download_images")]
    jobs += [Job("prepare_nsdsynthetic", (("subject", subject),)) for subject in SUBJECTS]
    networks = ["dinov2_vitl14_reg", "openclip_vit_bigg14", "vgg16_bn", "unclip6"]
    networks += ["zavychromaxl_v30", *Settings().features.metrics]
    jobs += [Job("fetch_weights", (("network", name),)) for name in networks]
    plan = make_plan(Settings(), jobs, 1000.0)
    assert gigabytes(plan, "betas") == 279.2
    assert gigabytes(plan, "betas subj01") == 39.3
    assert gigabytes(plan, "stimuli") == 39.6
    assert gigabytes(plan, "NSD-synthetic") == 7.8
    assert gigabytes(plan, "unlabelled") == 19.0
    assert gigabytes(plan, "weights") == pytest.approx(38, abs=0.6)
    n_bytes = sum(d["bytes"] for d in plan["downloads"])
    assert plan["fetched_bytes"] == n_bytes
    assert plan["download_hours"] == pytest.approx(n_bytes * 8 / 1e9 / 3600)
    text = "\n".join(as_lines("all", plan))
    assert "betas of all these subjects: 279.2 GB" in text and "80 files" in text


def test_volume_betas_have_their_own_sizes() -> None:
    settings = parse_sections({"nsd": {"space": "func1pt8mm", "mask": "nsdgeneral"}})
    plan = make_plan(settings, betas_jobs("subj01"), 1000.0)
    assert plan["downloads"][0]["bytes"] == 40 * 81 * 104 * 83 * 750 * 2


def test_one_subject_alone_needs_its_betas_alone() -> None:
    plan = make_plan(Settings(), betas_jobs("subj01"), 1000.0)
    n_kept = 30_000 * 39_548 * 2
    assert plan["peak_disk_bytes"] == 2 * n_kept
    assert plan["peak_disk_during"] == "betas subj01"


def test_stimuli_and_predicted_fmri_go_after_use() -> None:
    jobs = [Job("prepare_images"), Job("download_images")]
    jobs += [
        Job("synthesize_fmri", (("pool", pool), ("subject", "subj02")))
        for pool in ("all", "without_subj01")
    ]
    n_kept = (73_000 + 123_403) * 256**2 * 3
    n_raw = 73_000 * 425**2 * 3 + 19_000_000_000
    plan = make_plan(Settings(), jobs, 1000.0)
    assert plan["peak_disk_bytes"] == n_raw + n_kept
    later = make_plan(Settings(), jobs[2:], 1000.0)
    assert later["peak_disk_bytes"] == 123_403 * 39_548 * 2


def test_peak_of_events_in_order() -> None:
    events = [Event("a", 5, 2), Event("b", 4, 4), Event("c", 0, -5), Event("d", 3, 3)]
    assert peak(events) == (6, "b")
    assert peak([]) == (0, "nothing")


def test_both_costs_of_the_semantic_tokens_are_said() -> None:
    pools = ("all", "without_subj01", "scratch_subj01_1h")
    jobs = [Job("train_bit_semantic", (("pool", pool),)) for pool in pools]
    plan = make_plan(Settings(), jobs, 1000.0)
    costs = plan["semantic_tokens"]
    n_external = 123_403
    assert costs["passes_when_needed"] == 60 * (9000 * (8 + 7 + 1) + 3 * n_external)
    assert costs["passes_when_kept"] == 73_000 + n_external
    assert costs["bytes_when_kept"] == (73_000 + n_external) * 256 * 1664 * 2
    flop = 2 * 1_844.9e6 * 257 + 48 * 4 * 257**2 * 1664
    assert costs["hours_when_needed"] == pytest.approx(
        costs["passes_when_needed"] * flop / 400e12 / 3600, rel=0.01
    )
    text = "\n".join(as_lines("all", plan))
    assert "cache_tokens: false (as set): at most 30.9 million passes" in text
    assert "cache_tokens: true: 0.2 million passes" in text and "167.3 GB of disk" in text


def test_tokens_without_external_images_or_with_some() -> None:
    jobs = [Job("train_bit_semantic", (("pool", "all"),))]
    none = parse_sections({"synthesis": {"enabled": False}, "features": {"cache_tokens": True}})
    costs = make_plan(none, jobs, 1000.0)["semantic_tokens"]
    assert costs["passes_when_needed"] == 60 * 72_000
    assert costs["bytes_when_kept"] == 73_000 * 256 * 1664 * 2
    assert "true (as set)" in "\n".join(as_lines("all", make_plan(none, jobs, 1000.0)))
    some = parse_sections({"bit_semantic": {"external_per_real": 0.5, "epochs": 2}})
    costs = make_plan(some, jobs, 1000.0)["semantic_tokens"]
    assert costs["passes_when_needed"] == 2 * (72_000 + 36_000)


def test_tokens_are_no_cost_where_nothing_is_trained_on_them() -> None:
    assert make_plan(Settings(), betas_jobs("subj01"), 1000.0)["semantic_tokens"] is None
