"""The rehearsal: what is cut, stand-ins that the real loaders accept, times, verdicts, rates."""

import argparse
import json
import math
import shlex
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from tests.benchmarks.small_sdxl import SMALL_SDXL

from brainit.commands import rehearse
from brainit.commands.dry_run import Job
from brainit.commands.plan.hours import Hours
from brainit.commands.plan.models import target_shape
from brainit.commands.plan.sizes import Sizes
from brainit.commands.rehearse import largest_jobs, report
from brainit.commands.rehearse.child import run_probe
from brainit.commands.rehearse.few_steps import Amounts, FewSteps, cut_to_few_steps
from brainit.commands.rehearse.layouts import (
    NetworkSizes,
    of_depth,
    published_shapes,
    write_weights,
)
from brainit.commands.rehearse.probe import OPTIMIZER, Clock, busy_share, kernels, watched
from brainit.commands.rehearse.report import Record, require_fit, write_rates
from brainit.commands.rehearse.shallow import at_depth
from brainit.commands.rehearse.stand_ins import StandIns
from brainit.commands.rehearse.units import UnitTime, unit_time
from brainit.commands.rehearse.verdict import (
    Verdict,
    device_advice,
    judge,
    least_bytes,
    srun_line,
    too_large,
)
from brainit.core import progress as shared_progress
from brainit.core.errors import PipelineError
from brainit.core.settings import CohortSettings, FeatureSettings, JointSettings, Settings
from brainit.core.shards import ShardedArray
from brainit.features.registry import load_backbone
from brainit.features.registry_entries import find_entry
from brainit.features.token_cache import TokenCache
from brainit.features.weights_file import count_parameters
from brainit.training.latents import LatentFiles
from brainit.workflow.rates import RATES_NAME, Rate, Rates

POOL = (("pool", "all"), ("variant", "main"))
SEMANTIC = {
    "bit_semantic": {"batch": 128, "epochs": 60, "voxels_per_example": 15000},
    "bit": {"width": 512},
}


def job_of(step: str, settings: dict[str, Any], *flags: str, **facts: Any) -> Job:
    words = ["python", "-m", f"brainit.steps.{step}", *flags, "--settings", json.dumps(settings)]
    return Job(step, command=shlex.join(words) + " &> results/logs/step.log", **facts)


def test_only_counts_are_cut() -> None:
    flags = ("--synthetic", "subj01=x", "--checkpoint-minutes", "10", "--max-hours", "12")
    job = job_of("train_bit", SEMANTIC, *flags, wildcards=(*POOL, ("kind", "semantic")))
    assert job.step == "train_bit semantic" and job.settings == SEMANTIC
    few = cut_to_few_steps(job, n_steps=3, n_images=2, n_members=8)
    assert few.settings == SEMANTIC
    assert few.cut == {**SEMANTIC, "bit_semantic": {**SEMANTIC["bit_semantic"], "epochs": 1}}
    given = few.arguments
    assert json.loads(given[given.index("--settings") + 1]) == few.cut
    assert given[given.index("--max-hours") + 1] == "0" and "&>" not in given
    real = few.amounts.n_train * 8
    assert real + few.amounts.n_external == 3 * 128 and real / (3 * 128) == pytest.approx(1 / 3)


def test_accumulated_passes_of_a_new_subject_fill_whole_steps() -> None:
    """Its validation trials train too."""
    settings = {"joint": {"batch": 16, "accumulation": 4}, "transfer": {"joint_epochs": 200}}
    job = job_of("adapt_joint", settings, "--synthetic", "x", wildcards=(("subject", "subj01"),))
    few = cut_to_few_steps(job, n_steps=2, n_images=2, n_members=1)
    assert few.amounts.n_train + few.amounts.n_val + few.amounts.n_external == 2 * 64
    assert few.cut["transfer"] == {"joint_epochs": 1} and few.cut["joint"] == settings["joint"]


def test_the_largest_job_of_a_step_is_the_full_method_s() -> None:
    def recon(run: str, *inputs: str) -> Job:
        return job_of("reconstruct_lowlevel", {}, wildcards=(("run", run),), inputs=inputs)

    jobs = [recon("40h_ridge", "a", "b", "c"), recon("1h", "a"), recon("40h", "a", "b")]
    assert largest_jobs(jobs, []) == [jobs[2]]
    assert largest_jobs(jobs, ["reconstruct_lowlevel"]) == [jobs[2]]
    with pytest.raises(PipelineError) as error:
        largest_jobs(jobs, ["train_joint"])
    assert error.value.code == "unknown-name"


SMALL = NetworkSizes(of_depth(1).dinov2, 1, SMALL_SDXL, replace(SMALL_SDXL, pooled_width=1280))


@pytest.mark.parametrize(
    ("role", "name", "sizes"),
    [
        ("encoder_backbone", "dinov2_vitl14_reg", of_depth(1)),
        ("vgg", "vgg16_bn", SMALL),
        ("generator", "unclip6", SMALL),
        ("refiner", "zavychromaxl_v30", SMALL),
        ("metric", "alexnet", SMALL),
        ("metric", "inception_v3", SMALL),
        ("metric", "clip_vit_l14", SMALL),
        ("metric", "efficientnet_b1", SMALL),
        ("metric", "swav_resnet50", SMALL),
        ("metric", "lpips_alex", SMALL),
    ],
)
def test_loaders_take_random_weights(
    tmp_path: Path, role: str, name: str, sizes: NetworkSizes
) -> None:
    """The loaders are strict about names and shapes."""
    write_weights(tmp_path / find_entry(name).file, name, sizes)
    with at_depth(sizes):
        network = load_backbone(role, name, tmp_path)
    assert count_parameters(network) > 0
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


def test_layouts_have_the_published_parameters() -> None:
    """DINOv2-L with registers 304.4 M, bigG's tower 1,845 M, U-Net and VAE 2,501 and 84 M."""
    counts = {
        name: sum(math.prod(shape) for shape in published_shapes(name, NetworkSizes()).values())
        for name in ("dinov2_vitl14_reg", "openclip_vit_bigg14", "unclip6")
    }
    assert counts["dinov2_vitl14_reg"] == 304_372_736
    assert counts["openclip_vit_bigg14"] == pytest.approx(1.8449e9, rel=1e-3)
    assert counts["unclip6"] == pytest.approx(2.5013e9 + 83.65e6, rel=1e-4)
    with pytest.raises(PipelineError) as error:
        published_shapes("no_such_network", NetworkSizes())
    assert error.value.code == "unknown-name"


@pytest.mark.parametrize(("n_bits", "dtype"), [(16, torch.float16), (8, torch.int8)])
def test_cached_tokens_have_the_form_of_the_settings(
    tmp_path: Path, n_bits: Literal[16, 8], dtype: torch.dtype
) -> None:
    features = FeatureSettings(semantic_tokens="demo_openclip", token_bits=n_bits)
    stand_ins = StandIns(Settings().model_copy(update={"features": features}), SMALL)
    path = tmp_path / "tokens" / "stimuli"
    stand_ins.write(path, Amounts(n_train=3))
    cache = TokenCache(ShardedArray(path))
    assert cache.dtype == dtype and cache.token_shape == target_shape("demo_openclip")


def test_cached_latents_are_accepted_by_stage_2(tmp_path: Path) -> None:
    features = FeatureSettings(generator="demo_unclip", cache_latents=True)
    stand_ins = StandIns(Settings().model_copy(update={"features": features}), SMALL)
    for name, amounts in (("stimuli", Amounts(n_train=3)), ("external", Amounts(n_external=2))):
        stand_ins.write(tmp_path / "latents" / name, amounts)
    files = LatentFiles(tmp_path / "latents" / "stimuli", tmp_path / "latents" / "external")
    assert set(files.open("demo_unclip", load_backbone("generator", "demo_unclip"))) == {0, 1}


def test_busy_share_equals_a_count_on_a_grid() -> None:
    draws = np.random.default_rng(0)
    starts = draws.integers(0, 90, 12)
    spans = [
        (float(a), float(a + n)) for a, n in zip(starts, draws.integers(1, 9, 12), strict=True)
    ]
    seconds = {t for a, b in spans for t in range(int(a), int(b))}
    whole = max(b for _, b in spans) - min(a for a, _ in spans)
    assert busy_share(spans) == pytest.approx(len(seconds) / whole)
    assert busy_share([]) is None


def test_optimiser_steps_items_and_passes_are_seen_from_outside() -> None:
    class UNet2DConditionModel(torch.nn.Linear):
        pass

    network, clock = UNet2DConditionModel(2, 1), Clock()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with watched(clock):
        for _ in shared_progress.progress([1, 2, 3], "diffusion"):
            network(torch.ones(1, 2)).sum().backward()
            optimizer.step()
    seen = {name: len(times) for name, times in clock.seconds().items()}
    assert seen == {OPTIMIZER: 2, "diffusion": 3, "diffusion pass": 3}
    assert clock.cpu_seconds().keys() == clock.seconds().keys()
    optimizer.step()
    list(shared_progress.progress([1], "diffusion"))
    assert len(clock.seconds()["diffusion"]) == 3 and len(clock.seconds()[OPTIMIZER]) == 2


@pytest.mark.gpu
def test_a_gpu_s_spans_and_its_waiting_are_measured() -> None:
    """Half a second asleep between two products of milliseconds: the GPU waits most of the time."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    clock, matrix = Clock(), torch.ones(4096, 4096, device="cuda")
    with kernels(clock.is_gpu) as spans, watched(clock):
        for _ in shared_progress.progress([1, 2], "products"):
            matrix @ matrix
            time.sleep(0.5)
    busy = busy_share(spans)
    assert busy is not None and 0 < busy < 0.5
    assert all(seconds > 0.4 for seconds in clock.seconds()["products"])


def few(step: str, settings: dict[str, Any], cut: dict[str, Any], n_images: int = 4) -> FewSteps:
    return FewSteps(step, (), settings, cut, Amounts(), n_images)


def test_a_training_s_unit_is_an_example() -> None:
    settings = {"joint": {"batch": 4, "accumulation": 2}}
    taken = unit_time(few("train_joint", settings, settings), {OPTIMIZER: [2.0, 1.6, 8.0]}, 20.0)
    assert taken == UnitTime("example", 2.0 / 8, 20.0 - 4 * 2.0)
    nothing = unit_time(few("train_joint", settings, settings), {}, 20.0)
    assert nothing == UnitTime("example", None, 20.0)


def test_passes_not_done_are_put_in() -> None:
    """Two chunks of 3 s with 5 iterations of 0.5 s: 0.5 s besides, and 50 iterations in a run."""
    settings, cut = {"dip": {"iterations": 50}}, {"dip": {"iterations": 5}}
    spans = {"low-level images": [3.0, 3.0], OPTIMIZER: [0.5] * 9}
    broken = unit_time(few("reconstruct_lowlevel", settings, cut), spans, 10.0, is_whole=False)
    assert broken.seconds is None
    taken = unit_time(few("reconstruct_lowlevel", settings, cut), spans, 10.0)
    assert taken == UnitTime("image", 2 * (0.5 + 50 * 0.5) / 4, 4.0)
    full = {"n_steps": 50, "start_step": 14, "refiner_steps": 25, "refiner_start": 17}
    brief = {"n_steps": 3, "start_step": 1, "refiner_steps": 3, "refiner_start": 1}
    spans = {
        "diffusion": [5.0],
        "diffusion pass": [2.0, 2.0],
        "refining": [9.0],
        "refining pass": [4.0, 4.0],
    }
    taken = unit_time(few("reconstruct_fused", {"recon": full}, {"recon": brief}), spans, 20.0)
    expected = (1 + 36 * 2.0) + (1 + 8 * 4.0)
    assert taken.seconds == pytest.approx(expected / 4) and taken.fixed_seconds == 6.0


def measured(
    fault: dict[str, str] | None, host: float, device_total: float = 0.0
) -> dict[str, Any]:
    return {"fault": fault, "host_bytes": host, "device_total_bytes": device_total}


def test_verdicts_name_a_setting() -> None:
    job = Job("train_joint", POOL, mem_mb=64000)
    assert judge(job, measured(None, 60e9)) == Verdict("fits")
    over = judge(job, measured(None, 70e9))
    assert over.word == "request" and "train_joint:mem_mb=77000" in over.advice
    small = judge(job, measured({"kind": "device-memory", "text": ""}, 1e9, 25.4e9))
    assert small.word == "device-memory" and "gpu_24gb.yaml" in small.advice
    assert "gpu_48gb.yaml" in device_advice("train_joint", 85e9)
    assert judge(job, measured({"kind": "failed", "text": "x"}, 1e9)) == Verdict("failed", "x")


def test_stage_2_is_counted_before_it_starts() -> None:
    """Four bytes a weight, gradient and moment: 43 GB of 2.5 B and 0.2 B trained weights."""
    least = least_bytes("train_joint", Settings(), 8 * 39548)
    assert least == pytest.approx(16 * (2.5013e9 + 0.2e9), rel=0.01)
    frozen = JointSettings(unet_weights="cross_attention", optimizer="adafactor")
    less = least_bytes("train_joint", Settings(joint=frozen), 8 * 39548)
    assert less == pytest.approx(4 * 2.5013e9 + 8 * 0.2e9, rel=0.02)
    host = CohortSettings(embedding_states="host")
    table = 4 * 8 * 39548 * 512
    on_host = least_bytes("train_joint", Settings(cohort=host), 8 * 39548)
    assert on_host == least - 3 * table, "gradients and moments are of few subjects"
    job = Job("train_joint", POOL)
    assert too_large(job, least, least, is_device=True) is None
    verdict = too_large(job, least, 24e9, is_device=False)
    assert verdict is not None and verdict.word == "host-memory" and "joint." in verdict.advice


def test_a_step_that_fills_the_memory_is_killed(tmp_path: Path) -> None:
    found = run_probe("train_bit", [], tmp_path, None, 1.0, available=lambda: 0.0)
    assert found["fault"]["kind"] == "host-memory" and found["seconds"] == {}


def test_a_step_that_cannot_start_is_a_failure(tmp_path: Path) -> None:
    found = run_probe("no_such_step", [], tmp_path, None, 1.0)
    assert found["fault"]["kind"] == "failed" and "no_such_step" in found["fault"]["text"]


def record(job: Job, seconds: float, word: str = "fits") -> Record:
    taken = UnitTime("example", seconds, 30.0)
    facts = {"host_bytes": 5e9}
    return Record(job, facts, taken, taken, Verdict(word), 0, None, n_voxels=10)


ABOUT = {"machine": "m", "device": "a card", "torch": "2", "cpus": 2}


def test_plan_takes_the_rates_of_the_same_settings(tmp_path: Path) -> None:
    job = job_of("train_bit", SEMANTIC, wildcards=(*POOL, ("kind", "semantic")))
    write_rates(tmp_path / RATES_NAME, [record(job, 0.25)], ABOUT)
    rates = Rates.of(tmp_path)
    assert rates.device == "a card"
    assert rates.steps == {"train_bit semantic": Rate(0.25, 30.0, 5e9, SEMANTIC, 10)}
    hours = Hours(Sizes(Settings()), tmp_path / "none", rates=rates)
    (planned,) = hours.of([job])
    assert planned.is_rehearsed and not planned.is_measured
    assert planned.seconds == 30.0 + 0.25 * hours.n_semantic_examples(job)
    other = job_of("train_bit", {"bit": {"width": 8}}, wildcards=(*POOL, ("kind", "semantic")))
    assert not hours.of([other])[0].is_rehearsed
    cached = Settings().model_copy(update={"features": FeatureSettings(cache_tokens=True)})
    (planned,) = Hours(Sizes(cached), tmp_path / "none", rates=rates).of([job])
    assert not planned.is_rehearsed, "measured without cached tokens"
    write_rates(tmp_path / RATES_NAME, [replace(record(job, 0.25), token_bits=16)], ABOUT)
    (planned,) = Hours(Sizes(cached), tmp_path / "none", rates=Rates.of(tmp_path)).of([job])
    assert planned.is_rehearsed


def test_rates_of_another_machine_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / RATES_NAME
    jobs = [job_of("train_joint", {}), job_of("train_encoder", {}), job_of("evaluate", {})]
    write_rates(path, [record(jobs[0], 1.0)], ABOUT)
    write_rates(path, [record(jobs[1], 1.0), record(jobs[2], 1.0, "failed")], ABOUT)
    assert set(Rates.of(tmp_path).steps) == {"train_joint", "train_encoder"}
    write_rates(path, [record(jobs[1], 1.0)], {**ABOUT, "device": "another card"})
    assert set(Rates.of(tmp_path).steps) == {"train_encoder"}
    path.write_text("{}")
    with pytest.raises(PipelineError) as error:
        Rates.of(tmp_path)
    assert error.value.code == "damaged-file"
    assert Rates.of(tmp_path / "none") == Rates()


def test_nodes_of_a_kind_share_their_rates(tmp_path: Path) -> None:
    path = tmp_path / RATES_NAME
    for node, step in (("n1", "train_joint"), ("n2", "train_encoder")):
        write_rates(path, [record(job_of(step, {}), 1.0)], {**ABOUT, "machine": node})
    assert set(Rates.of(tmp_path).steps) == {"train_joint", "train_encoder"}


def test_rehearsals_side_by_side_keep_each_other_s_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One waits while the other is between reading and writing."""
    path, inside = tmp_path / RATES_NAME, threading.Barrier(2)

    def slowly(path: Path, text: str) -> None:
        with suppress(threading.BrokenBarrierError):
            inside.wait(0.3)
        path.write_text(text)

    monkeypatch.setattr(report, "write_text", slowly)
    steps = ("train_joint", "train_encoder")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda s: write_rates(path, [record(job_of(s, {}), 1.0)], ABOUT), steps))
    assert set(Rates.of(tmp_path).steps) == set(steps)


@pytest.mark.parametrize("damaged", ['{"prov', "[" * 100_000, '{"provenance": {}, "steps": []}'])
def test_a_rehearsal_replaces_a_damaged_file(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / RATES_NAME
    path.write_text(damaged)
    write_rates(path, [record(job_of("train_joint", {}), 1.0)], ABOUT)
    assert set(Rates.of(tmp_path).steps) == {"train_joint"}
    assert [file.name for file in tmp_path.iterdir()] == [RATES_NAME]


def test_the_end_says_what_does_not_fit() -> None:
    job = job_of("train_joint", {})
    require_fit([record(job, 1.0), record(job, 1.0, "request"), record(job, 1.0, "time")])
    for word, code in (("host-memory", "out-of-memory"), ("failed", "machine")):
        with pytest.raises(PipelineError) as error:
            require_fit([record(job, 1.0, word)])
        assert error.value.code == code and "train_joint" in str(error.value)


def test_a_cluster_s_command_has_the_rule_s_requests() -> None:
    job = job_of("train_joint", {}, mem_mb=64000, n_gpus=1)
    words = shlex.split(srun_line(job, "all", [Path("mine.yaml")], 8))
    assert words[0] == "srun" and "--mem=64000M" in words and "--gres=gpu:1" in words
    assert words[words.index("--only") + 1] == "train_joint" and words[-1] == "mine.yaml"


def test_a_cluster_s_command_passes_the_options_on(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    rehearse.add_parser(parser.add_subparsers())
    scratch = str(tmp_path / "a folder")
    given = ["--steps", "2", "--images", "5", "--minutes", "45", "--scratch", scratch, "--srun"]
    args = parser.parse_args(["rehearse", "all", *given, "--configfile", "mine.yaml"])
    facts = (args.target, args.configfile, 8, args.minutes)
    job = job_of("train_bit", {}, wildcards=(*POOL, ("kind", "lowlevel")))
    words = shlex.split(srun_line(job, *facts, rehearse.options_of(args)))
    again = parser.parse_args(words[words.index("brainit") + 1 :])
    assert again == argparse.Namespace(**{**vars(args), "srun": False, "only": [job.step]})
    (limit,) = [int(word.removeprefix("--time=")) for word in words if "--time=" in word]
    assert limit > 45, "srun does not end the step before its own limit"
