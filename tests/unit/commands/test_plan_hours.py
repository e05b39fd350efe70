"""GPU hours: counted from published totals, measured where a rule has run, packed on GPUs."""

from pathlib import Path

import pytest

from brainit.commands.dry_run import Job
from brainit.commands.plan import ridge
from brainit.commands.plan.contents import as_lines, gpu_plan, make_plan
from brainit.commands.plan.hours import TOKENS_TFLOP, GpuTime, Hours, wall_seconds
from brainit.commands.plan.sizes import Sizes
from brainit.core.settings import Settings, parse_sections

POOL = (("pool", "all"),)
LOWLEVEL, SEMANTIC = (*POOL, ("kind", "lowlevel")), (*POOL, ("kind", "semantic"))
RECON = (("subject", "subj01"), ("run", "40h"), ("shard", "0"))


def hours(settings: Settings, folder: Path) -> Hours:
    return Hours(Sizes(settings), folder)


def test_counts_come_to_the_published_steps(tmp_path: Path) -> None:
    """60,000 steps of the encoder at 12 TFLOP, 12 h of low-level training at 0.25 s a step."""
    found = hours(Settings(), tmp_path)
    encoder = found.arithmetic(Job("train_encoder", POOL))
    assert encoder == pytest.approx(12 * 60_000, rel=0.15)
    n_steps = 12 * 3600 / 0.25
    assert found.arithmetic(Job("train_bit", LOWLEVEL)) == pytest.approx(15 * n_steps, rel=0.1)
    dip = found.arithmetic(Job("reconstruct_lowlevel", RECON))
    assert dip == pytest.approx(1000 * 202, rel=0.01)
    semantic = found.arithmetic(Job("reconstruct_fused", RECON))
    assert semantic == pytest.approx(1000 * (36 * 2 * 0.522 + 66.6), rel=0.01)
    searched = found.arithmetic(Job("reconstruct_searched", RECON))
    assert searched == pytest.approx(1000 * (20 * 36 * 2 * 0.522 + 66.6), rel=0.01)
    half = found.arithmetic(Job("train_encoder_half", (*POOL, ("half", "half_a"))))
    assert half == pytest.approx(encoder / 2)


def test_new_subject_s_hour_is_750_trials(tmp_path: Path) -> None:
    settings = parse_sections({"transfer": {"external_per_real": 3.0, "epochs": 50}})
    job = Job("adapt_bit", (("subject", "subj01"), ("duration", "1h"), ("kind", "semantic")))
    n_examples = 750 * 4 * 50
    found = hours(settings, tmp_path)
    assert found.arithmetic(job) == pytest.approx((4.8 / 128 + 0.98) * n_examples)
    assert found.n_semantic_examples(job) == n_examples
    lowlevel = Job("adapt_bit", (("subject", "subj01"), ("duration", "1h"), ("kind", "lowlevel")))
    assert found.arithmetic(lowlevel) == pytest.approx(15 / 64 * n_examples)


def test_external_examples_are_counted_as_set(tmp_path: Path) -> None:
    given = {"bit_lowlevel": {"external_per_real": 0.0}, "bit_semantic": {"external_per_real": 0.5}}
    found = hours(parse_sections({**given, "joint": {"max_steps": None}}), tmp_path)
    job = Job("train_bit", LOWLEVEL)
    n_real = found.n_real(job)
    assert found.arithmetic(job) == pytest.approx(15 / 64 * n_real * 60)
    assert found.n_semantic_examples(Job("train_bit", SEMANTIC)) == 1.5 * n_real * 60
    whole = hours(Settings(), tmp_path)
    ratio = found.arithmetic(Job("train_joint", POOL)) / whole.arithmetic(Job("train_joint", POOL))
    assert ratio == pytest.approx(1.5 * n_real / (n_real + 123_403))
    many = hours(parse_sections({"bit_semantic": {"external_per_real": 1.0e6}}), tmp_path)
    job = Job("train_bit", SEMANTIC)
    assert many.n_semantic_examples(job) == whole.n_semantic_examples(job)


def test_a_pools_images_pass_the_backbone_once(tmp_path: Path) -> None:
    """123,403 images: 0.16 TFLOP each, and 0.62 for 8 subjects of 39,548 voxels."""
    found = hours(Settings(), tmp_path)
    of_pool = found.arithmetic(Job("synthesize_fmri", POOL))
    assert of_pool == pytest.approx(123_403 * (0.16 + 0.62), rel=1e-3)
    transfer = Job("synthesize_fmri_transfer", (("subject", "subj01"), ("duration", "1h")))
    assert found.arithmetic(transfer) == pytest.approx(123_403 * (0.16 + 0.62 / 8), rel=1e-3)


def test_bound_on_steps_bounds_stage_2(tmp_path: Path) -> None:
    bounded = parse_sections({"joint": {"max_steps": 10, "batch": 16, "accumulation": 4}})
    whole = hours(Settings(), tmp_path).arithmetic(Job("train_joint", POOL))
    small = hours(bounded, tmp_path).arithmetic(Job("train_joint", POOL))
    assert small == pytest.approx(640 * (4 * 0.522 + 0.27 + 4.8 / 128)) and small < whole
    kept = parse_sections({"joint": {"max_steps": 10, "gradient_checkpointing": False}})
    less = hours(kept, tmp_path).arithmetic(Job("train_joint", POOL))
    assert small - less == pytest.approx(640 * 0.522)


def test_measured_rules_take_their_mean(tmp_path: Path) -> None:
    folder = tmp_path / "train_joint"
    folder.mkdir()
    for name, seconds in (("all", 100), ("without_subj01", 50)):
        (folder / f"{name}.tsv").write_text(f"s\tmax_rss\n{seconds}\t7\n")
    times = hours(Settings(), tmp_path).of([Job("train_joint", POOL), Job("all")])
    assert times == [GpuTime("train_joint", "train_joint", 75.0, True)]


def test_a_kind_takes_its_own_mean(tmp_path: Path) -> None:
    (tmp_path / "train_bit").mkdir()
    for name, seconds in (("all_main_semantic", 100), ("all_main_lowlevel", 50)):
        (tmp_path / "train_bit" / f"{name}.tsv").write_text(f"s\tmax_rss\n{seconds}\t7\n")
    times = hours(Settings(), tmp_path).of([Job("train_bit", LOWLEVEL), Job("train_bit", SEMANTIC)])
    assert [(time.label, time.seconds) for time in times] == [
        ("train_bit lowlevel", 50.0),
        ("train_bit semantic", 100.0),
    ]


def test_processes_of_stage_2_take_as_many_gpus(tmp_path: Path) -> None:
    """Counted arithmetic is shared; a measured time was every GPU's. Starts are not shared."""
    job = Job("train_joint", POOL)
    four = parse_sections({"joint": {"processes": 4}})
    (alone,) = hours(Settings(), tmp_path).of([job])
    shared = hours(four, tmp_path).of([job])
    assert len(shared) == 4 and len(set(shared)) == 1
    assert 4 * (shared[0].seconds - 60) == pytest.approx(alone.seconds - 60)
    assert wall_seconds(shared, 4) == pytest.approx(shared[0].seconds)
    (tmp_path / "train_joint").mkdir()
    (tmp_path / "train_joint" / "all.tsv").write_text("s\tmax_rss\n100\t7\n")
    assert (
        hours(four, tmp_path).of([job]) == [GpuTime("train_joint", "train_joint", 100.0, True)] * 4
    )


def test_demo_networks_are_not_counted(tmp_path: Path) -> None:
    settings = parse_sections({"run": {"simulation": True}})
    assert hours(settings, tmp_path).of([Job("train_joint", POOL)]) == []


def test_wall_time_packs_stages() -> None:
    times = [GpuTime("train_encoder", "train_encoder", s, False) for s in (30, 20, 10)]
    times += [GpuTime("evaluate", "evaluate", 5, False)]
    assert wall_seconds(times, 1) == 65
    assert wall_seconds(times, 2) == 30 + 5
    assert wall_seconds([], 4) == 0


def test_lines_name_hours_and_their_source(tmp_path: Path) -> None:
    settings = parse_sections({"paths": {"results": str(tmp_path)}})
    jobs = [Job("train_bit", SEMANTIC)]
    plan = make_plan(settings, jobs, 1000.0) | gpu_plan(settings, jobs, 2)
    text = "\n".join(as_lines("all", plan))
    assert "GPU h  train_bit semantic, counted" in text
    assert "on 2 GPU" in text
    assert plan["wall_hours"] == plan["gpu_hours"] > 0


def test_both_costs_of_the_semantic_tokens_are_said() -> None:
    jobs = [Job("train_bit", SEMANTIC), Job("train_bit", LOWLEVEL)]
    plan = make_plan(Settings(), jobs, 1000.0) | gpu_plan(Settings(), jobs, 1)
    costs = plan["semantic_tokens"]
    n_trials = 750 * (40 + 40 + 32 + 30 + 40 + 32 + 40 + 30)
    n_real = (1 - Settings().nsd.validation_share) * 0.3 * n_trials
    assert costs["passes_when_needed"] == pytest.approx(60 * (n_real + 123_403))
    assert costs["passes_when_kept"] == 73_000 + 123_403
    assert costs["bytes_when_kept"] == (73_000 + 123_403) * 256 * 1664 * 2
    flop = 2 * 1_844.9e6 * 257 + 48 * 4 * 257**2 * 1664
    n_hours = costs["passes_when_needed"] * flop / 400e12 / 3600
    assert costs["hours_when_needed"] == pytest.approx(n_hours, rel=0.02)
    assert plan["gpu_hours_by_rule"]["train_bit semantic"] > costs["hours_when_needed"]
    text = "\n".join(as_lines("all", plan))
    assert "cache_tokens: false (as set): 10.9 million passes" in text
    assert "cache_tokens: true: 0.2 million passes" in text and "167.3 GB of disk" in text


def test_kept_tokens_cost_stage_1_nothing(tmp_path: Path) -> None:
    kept = parse_sections({"features": {"cache_tokens": True}})
    job = Job("train_bit", SEMANTIC)
    found = hours(kept, tmp_path)
    assert found.arithmetic(job) == pytest.approx(4.8 / 128 * found.n_semantic_examples(job))
    plan = make_plan(kept, [job], 1000.0) | gpu_plan(kept, [job], 1)
    assert "cache_tokens: true (as set)" in "\n".join(as_lines("all", plan))


def test_kept_latents_cost_stage_2_nothing(tmp_path: Path) -> None:
    """0.27 TFLOP of the VAE for each image once, in place of each example."""
    kept = parse_sections({"features": {"cache_latents": True}})
    job, every = Job("train_joint", POOL), Job("extract_latents", (("image_set", "stimuli"),))
    found, plain = hours(kept, tmp_path), hours(Settings(), tmp_path)
    saved = plain.arithmetic(job) - found.arithmetic(job)
    assert saved == pytest.approx(0.27 * found.n_units(job))
    assert found.arithmetic(every) == pytest.approx(0.27 * 73_000)
    plan = make_plan(kept, [every], 1000.0)
    assert plan["peak_disk_bytes"] == 73_000 * 4 * 32 * 32 * 2


def test_tokens_are_no_cost_where_nothing_is_trained_on_them() -> None:
    assert gpu_plan(Settings(), [Job("train_joint", POOL)], 1)["semantic_tokens"] is None


RIDGE = (("subject", "subj01"), ("duration", "40h"), ("kind", "semantic"))


def test_ridge_at_full_size_takes_minutes_and_a_few_gigabytes(tmp_path: Path) -> None:
    """8,100 averaged images, 39,548 voxels, 425,984 outputs, 1,000 test and 1,000 validation."""
    job, found = Job("predict_ridge", RIDGE), hours(Settings(), tmp_path)
    assert found.arithmetic(job) == pytest.approx(2 * 9_000 * 0.98)
    flop = 2 * 8_100**2 * 39_548 + 9 * 8_100**3 + 2 * 8_100 * 425_984 * 2_000
    (time,) = found.of([job])
    assert time.seconds == pytest.approx(60 + 2 * 9_000 * 0.98 / 400 + flop / 2e11)
    memory = 2 * 8_100 * 39_548 + 8 * 8_100**2 + 4 * 2_000 * (8_100 + 425_984)
    assert ridge.memory_bytes(found.sizes, job) == pytest.approx(memory) and memory < 8e9
    assert ridge.prediction_bytes(found.sizes, job) == 2 * 1_000 * 425_984
    trials = parse_sections({"nsd": {"average_training_repeats": False}})
    single = ridge.memory_bytes(Sizes(trials), job)
    assert single == pytest.approx(2 * 24_300 * 39_548 + 16 * 24_300**2) and single < 32e9


def test_ridge_of_an_hour_or_of_pixels_is_cheap(tmp_path: Path) -> None:
    hour = Job("predict_ridge", (*RIDGE[:1], ("duration", "1h"), *RIDGE[2:]))
    lowlevel = Job("predict_ridge", (*RIDGE[:2], ("kind", "lowlevel")))
    found = hours(Settings(), tmp_path)
    assert found.arithmetic(hour) == pytest.approx(2 * 750 * 0.98)
    assert found.arithmetic(lowlevel) == 0
    vgg = parse_sections({"baselines": {"lowlevel": "vgg"}})
    assert hours(vgg, tmp_path).arithmetic(lowlevel) == pytest.approx(2 * 9_000 * 0.0078)
    assert ridge.prediction_bytes(Sizes(vgg), lowlevel) == 2 * 1_000 * 1_530_368
    image = Job("reconstruct_lowlevel", (("subject", "subj01"), ("run", "40h_ridge")))
    assert found.arithmetic(image) == 0 < hours(vgg, tmp_path).arithmetic(image)
    kept = parse_sections({"features": {"cache_tokens": True}})
    assert hours(kept, tmp_path).arithmetic(hour) == 0
    lab = parse_sections({"lab": {"labsub": "folder"}})
    whole = Job("predict_ridge", (("subject", "labsub"), *RIDGE[1:]))
    assert ridge.n_rows(Sizes(lab), whole) == 30_000
    plan = make_plan(Settings(), [Job("predict_ridge", RIDGE), hour], 1000.0)
    assert "memory of ridge: 4.6 GB" in "\n".join(as_lines("all", plan))


def test_trainings_of_peers_are_counted_with_their_tokens(tmp_path: Path) -> None:
    """MindEye2 on an hour: 150 epochs of 750 trials, 19 TFLOP for 24 examples."""
    job = Job("adapt_peer", (("subject", "subj01"), ("duration", "1h"), ("peer", "mindeye2")))
    (time,) = hours(Settings(), tmp_path).of([job])
    expected = 60 + 150 * 750 * (19 / 24 + TOKENS_TFLOP) / 400
    assert time.seconds == pytest.approx(expected)
    lora = Job("adapt_peer", (*job.wildcards[:2], ("peer", "lora_skip")))
    bridge = Job("adapt_peer", (*job.wildcards[:2], ("peer", "mindbridge")))
    found = [t.seconds for t in hours(Settings(), tmp_path).of([lora, bridge])]
    assert found[0] == pytest.approx(expected) and found[1] < expected
