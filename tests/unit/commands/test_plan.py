"""The plan: file counts times sizes as published, and the peak over an order of jobs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from brainit.commands.dry_run import Job, dry_run, parse_jobs
from brainit.commands.plan import ridge
from brainit.commands.plan.contents import as_lines, make_plan, read_configuration, saved
from brainit.commands.plan.disk import Event, disk_events, peak, peak_at_once
from brainit.commands.plan.models import bit_bytes, generator_bytes, latent_shape, target_shape
from brainit.commands.plan.savings import without
from brainit.commands.plan.sizes import Sizes
from brainit.core.errors import PipelineError
from brainit.core.settings import Settings, parse_sections
from brainit.features.registry import load_backbone
from brainit.features.registry_entries import ENTRIES
from brainit.features.vgg import VggTokenLayout
from brainit.models.brain_transformer import BrainInteractionTransformer
from brainit.models.cross_transformer import CrossTransformer

SUBJECTS = [f"subj0{number}" for number in range(1, 9)]
DRY_RUN = """
rule prepare_betas:
    input: results/.store/nsd
    wildcards: subject=subj03
    resources: mem_mb=2000
localrule all:
    jobid: 0
rule synthesize_fmri:
    wildcards: pool=without_subj01
"""


def betas_jobs(*subjects: str) -> list[Job]:
    return [Job("prepare_betas", (("subject", subject),)) for subject in subjects]


def gigabytes(plan: dict, what: str) -> float:
    found = [d["bytes"] for d in plan["downloads"] if d["what"].startswith(what)]
    return round(sum(found) / 1e9, 1)


def test_jobs_are_read_from_a_dry_run() -> None:
    assert parse_jobs(DRY_RUN) == [
        Job(
            "prepare_betas",
            (("subject", "subj03"),),
            mem_mb=2000.0,
            inputs=("results/.store/nsd",),
        ),
        Job("all"),
        Job("synthesize_fmri", (("pool", "without_subj01"),)),
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


def test_betas_of_a_folder_are_read_where_they_are(tmp_path: Path) -> None:
    settings = parse_sections({"paths": {"source": str(tmp_path)}})
    jobs = [*betas_jobs("subj01"), Job("download_images")]
    here, there = (make_plan(s, jobs, 1000.0) for s in (settings, Settings()))
    assert [d["what"] for d in here["downloads"]] == ["stimuli", "unlabelled images"]
    assert [d["what"] for d in there["downloads"]][0] == "betas subj01"


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
    one, other = ("pool", "without_subj01"), ("pool", "without_subj02")
    jobs += [Job("synthesize_fmri_pool", (pool,)) for pool in (one, other)]
    jobs.append(Job("synthesize_fmri", (("pool", "all"),)))
    settings = parse_sections({"nsd": {"subjects": SUBJECTS[:2]}})
    n_kept = (73_000 + 123_403) * 256**2 * 3
    n_raw = 73_000 * 425**2 * 3 + 19_000_000_000
    plan = make_plan(settings, jobs, 1000.0)
    assert plan["peak_disk_bytes"] == n_raw + n_kept
    later = make_plan(settings, jobs[2:], 1000.0)
    of_subject = 123_403 * 39_548 * 2
    assert later["peak_disk_bytes"] == 2 * of_subject + of_subject


def test_pools_that_train_at_once_need_their_disk_beside_each_other() -> None:
    prepared = [Event("data", 50, 40)]
    pools = [
        [Event("fmri", 10, 10), Event("train", 9, 2), Event(f"end of {n}", 0, -10)]
        for n in range(3)
    ]
    trained = [event for pool in pools for event in pool]
    assert peak([*prepared, *trained])[0] == 40 + 2 * 2 + 10 + 9
    assert peak_at_once(prepared, trained, 2) == 40 + 3 * (10 + 2) + 2 * (9 - 2)
    assert peak_at_once(prepared, trained, 8) == 40 + 3 * (10 + 2) + 3 * (9 - 2)
    assert peak_at_once(prepared, [], 8) == 50


def test_several_gpus_are_told_the_disk_that_they_need_at_once() -> None:
    pools = [(("pool", f"without_{s}"),) for s in SUBJECTS]
    rules = ("synthesize_fmri_pool", "train_joint")
    jobs = [Job(rule, pool) for pool in pools for rule in rules]
    one, eight = (make_plan(Settings(), jobs, 1000.0, n) for n in (1, 8))
    assert one["peak_disk_bytes"] == eight["peak_disk_bytes"]
    assert eight["peak_disk_at_once_bytes"] > 4 * one["peak_disk_bytes"]
    assert "training at once" not in "".join(as_lines("all", one))
    assert "with 8 jobs training at once" in "".join(as_lines("all", eight))


def test_peak_of_events_in_order() -> None:
    events = [Event("a", 5, 2), Event("b", 4, 4), Event("c", 0, -5), Event("d", 3, 3)]
    assert peak(events) == (6, "b")
    assert peak([]) == (0, "nothing")


def test_models_and_their_checkpoints_are_counted() -> None:
    settings = parse_sections({"nsd": {"subjects": ["subj01", "subj02"]}})
    train = Job("train_bit", (("pool", "without_subj02"), ("kind", "semantic")))
    n_bytes = Sizes(settings).trained(train)
    with torch.device("meta"):
        block = CrossTransformer(512, 8, 5)
    n_known = sum(p.numel() for p in block.parameters())
    n_known += 39_548 * 514 + 256 * 512 + 128 * 512 + 512 * 1664 + 1664
    n_known += 4 * 512**2 + 4 * 512  # key, query, value, root; three biases of them and the norm's
    assert n_bytes == pytest.approx(4 * n_known, rel=1e-3)
    plan = make_plan(settings, [train], 1000.0)
    assert plan["peak_disk_bytes"] == 9 * n_bytes
    assert plan["peak_disk_during"] == "train_bit without_subj02 semantic"
    adapt = Job("adapt_joint", (("subject", "subj01"), ("duration", "1h")))
    assert Sizes(settings).trained(adapt) == n_bytes
    joint = Job("train_joint", (("pool", "without_subj02"),))
    assert Sizes(settings).trained(joint) == n_bytes + 4 * 2_501_270_000


@pytest.mark.parametrize("name", ["demo_openclip", "demo_vgg_bn"])
def test_shapes_of_targets_are_those_of_the_networks(name: str) -> None:
    role = "vgg" if name == "demo_vgg_bn" else "semantic_tokens"
    network: Any = load_backbone(role, name)
    if name == "demo_openclip":
        shape = (network.n_tokens, network.width)
    else:
        layout = VggTokenLayout(network.channels, network.map_sizes)
        shape = (layout.n_tokens, layout.width)
    assert target_shape(name) == shape


def test_latents_are_counted_as_the_generators_have_them() -> None:
    """The demo's as its network makes them, unclip6's as SDXL's VAE does: an eighth of 256 px."""
    demo: Any = load_backbone("generator", "demo_unclip")
    assert latent_shape("demo_unclip") == demo.latent_shape
    assert latent_shape("unclip6") == (4, 256 // 8, 256 // 8)
    sizes = Sizes(parse_sections({}))
    assert sizes.latents("stimuli") == 73_000 * 4 * 32 * 32 * 2
    assert sizes.latents("external") == 123_403 * 4 * 32 * 32 * 2


@pytest.mark.parametrize("image_set", ["stimuli", "external"])
def test_a_cohorts_latents_take_the_disk_of_their_own_images(image_set: str) -> None:
    sizes = Sizes(parse_sections({}))
    jobs = [Job("extract_latents_cohort", (("image_set", image_set),))]
    [event], trained = disk_events(sizes, jobs)
    assert event.after == sizes.latents(image_set)
    assert trained == []


def test_published_vgg_has_the_papers_tokens() -> None:
    layout = VggTokenLayout((64, 128, 256, 512, 512), (112, 56, 28, 14, 7))
    assert target_shape("vgg16_bn") == (layout.n_tokens, layout.width)


@pytest.mark.parametrize(("refiner", "n_bytes"), [("none", 6), ("zavychromaxl_v30", 8)])
def test_a_refiner_keeps_the_images_that_it_was_given(refiner: str, n_bytes: int) -> None:
    settings = parse_sections({"features": {"refiner": refiner}, "recon": {"max_images": 10}})
    assert Sizes(settings).reconstructions("subj01") == 10 * 256 * 256 * 3 * n_bytes


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_parameters_are_counted_as_the_model_has_them(n_blocks: int) -> None:
    sections = {"bit": {"width": 48, "n_heads": 4, "n_blocks": n_blocks}}
    settings = parse_sections(sections | {"clusters": {"n_clusters": 7}})
    n_queries, out_width = target_shape("demo_openclip")
    model = BrainInteractionTransformer(
        voxel_cluster=torch.zeros(11, dtype=torch.int64),
        n_clusters=7,
        n_queries=n_queries,
        out_width=out_width,
        width=48,
        n_heads=4,
        n_blocks=n_blocks,
    )
    counted = sum(parameter.numel() for parameter in model.parameters())
    cluster_of_voxel = 2 * 11  # an int64 each
    assert bit_bytes(settings, "demo_openclip", 11) == 4 * (counted + cluster_of_voxel)


def test_every_network_that_can_be_named_is_known() -> None:
    for role, name in [(entry.role, entry.name) for entry in ENTRIES]:
        if role in ("vgg", "semantic_tokens"):
            assert min(target_shape(name)) > 0
        if role == "vgg":
            assert ridge.n_outputs(Sizes(_with_vgg(name)), _ridge_job()) > 0
        if role == "generator":
            generator_bytes(parse_sections({"features": {"generator": name}}))
            assert min(latent_shape(name)) > 0


def _with_vgg(name: str) -> Settings:
    return parse_sections({"features": {"vgg": name}, "baselines": {"lowlevel": "vgg"}})


def _ridge_job() -> Job:
    return Job("predict_ridge", (("subject", "subj01"), ("kind", "lowlevel"), ("duration", "40h")))


def test_an_unknown_vgg_is_no_vgg_without_outputs() -> None:
    with pytest.raises(PipelineError) as error:
        ridge.n_outputs(Sizes(_with_vgg("vgg19")), _ridge_job())
    assert error.value.code == "unknown-name" and "vgg16_bn" in error.value.expected


def chain(*names: str) -> list[Job]:
    """Return jobs of which each reads the file of the one before; the last one's is the target."""
    pairs = zip(("", *names), names, strict=False)
    return [Job(name, outputs=(name,), inputs=(before,) * bool(before)) for before, name in pairs]


def test_what_only_dropped_jobs_need_goes_with_them() -> None:
    data, train, decode, score = chain("data", "train", "decode", "score")
    shared = Job("prepare", outputs=("prepared",), inputs=("data",))
    decode = Job("decode", outputs=("decode",), inputs=("train", "prepared"))
    betas = Job("betas", outputs=("betas",))
    train = Job("train", outputs=("train",), inputs=("data", "betas"))
    jobs = [data, betas, shared, train, decode, score]
    assert without(jobs, []) == jobs
    assert without(jobs, [train]) == [data, shared, decode, score]


def test_savings_are_the_difference_of_two_plans() -> None:
    out = "results/group/all/main"
    subjects = ("subj01", "subj02", "subj03")
    settings = parse_sections(
        {"nsd": {"subjects": subjects, "evaluated": ["subj01"], "transfer": ["subj02"]}}
    )
    betas = [Job("prepare_betas", (("subject", s),), outputs=(s,)) for s in subjects]
    train = Job(
        "train_bit",
        (("pool", "all"), ("variant", "main"), ("kind", "semantic")),
        outputs=(f"{out}/bit_semantic/bit.safetensors",),
        inputs=subjects,
    )
    run = (("subject", "subj01"), ("run", "40h"))
    decode = Job("reconstruct_semantic", run, inputs=("subj01", *train.outputs), outputs=("x",))
    found = {saving["with"]: saving for saving in saved(settings, [*betas, train, decode])}
    cached, fewer, authors = (found[name]["saved"] for name in found)
    assert list(found)[1:] == ["nsd.subjects: [subj01, subj02]", "models: authors"]
    assert cached["gpu_hours"] > 0 > cached["peak_disk_bytes"] and cached["fetched_bytes"] == 0
    sizes = Sizes(settings)
    n_files, n_bytes = sizes.raw_session("subj03")
    of_subject = n_files * n_bytes * sizes.n_sessions("subj03")
    assert fewer["fetched_bytes"] == of_subject and fewer["gpu_hours"] > 0
    of_others = sum(n_files * n_bytes * sizes.n_sessions(s) for s in subjects[1:])
    assert authors["fetched_bytes"] == of_others and authors["gpu_hours"] > fewer["gpu_hours"]
    assert "GPU h less" in found["models: authors"]["line"]
    assert saved(parse_sections({"run": {"simulation": True}}), [train]) == []


def test_a_dry_run_lists_the_jobs_or_says_why_not(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert len(dry_run("results/subj01/noise_ceiling/summary.csv", [])) >= 3
    with pytest.raises(PipelineError) as error:
        dry_run("no/such/target", [])
    assert error.value.code == "invalid-argument"


def test_paths_of_the_configuration_are_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    monkeypatch.setenv("HOME", "/home/me")
    own = tmp_path / "own.yaml"
    own.write_text("paths: {store: $SCRATCH/s, results: ~/r}")
    paths = read_configuration([own]).paths
    assert (paths.store, paths.results) == ("/scratch/me/s", "/home/me/r")
