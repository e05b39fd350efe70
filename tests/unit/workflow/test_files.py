"""Paths of files, and those that a job reads."""

import os
from pathlib import Path

import pytest
from tests.refusals import refused

from brainit.workflow import files as paths
from brainit.workflow import params
from brainit.workflow.files import Files, network_files
from brainit.workflow.inputs import Inputs
from brainit.workflow.params import Params, labelled, latent_flags
from brainit.workflow.runs import Pool, Run, Variant

from .conftest import MakeStudy

BIT = "bit.safetensors"


def model(files: Files, subject: str, run: str, stage: str = "joint") -> str:
    return files.model_of_run(subject, Run.parse(run), stage, BIT)


def test_models_that_decode_a_run(study: MakeStudy) -> None:
    files = Files(study(lab={"labsub": "folder"}))
    group = "<results>/group"
    assert model(files, "subj01", "40h") == f"{group}/all/main/joint/{BIT}"
    assert model(files, "subj01", "nsdsynthetic") == f"{group}/all/main/joint/{BIT}"
    assert model(files, "subj01", "40h_k8") == f"{group}/all/k8/joint/{BIT}"
    assert model(files, "subj01", "40h_k128") == f"{group}/all/main/joint/{BIT}"
    assert model(files, "subj01", "40h_mlp_mse") == f"{group}/all/main/joint/{BIT}"
    assert model(files, "subj01", "first2") == f"{group}/first2/main/joint/{BIT}"
    assert model(files, "subj01", "1h_scratch") == f"{group}/scratch_subj01_1h/main/joint/{BIT}"
    assert model(files, "subj01", "1h") == f"<results>/subj01/transfer_1h/joint/{BIT}"
    assert model(files, "labsub", "40h") == f"<results>/labsub/transfer_40h/joint/{BIT}"
    generators = {
        ("subj01", "40h"): f"{group}/all/main",
        ("subj01", "1h"): f"{group}/without_subj01/main",
        ("subj01", "1h_scratch"): f"{group}/scratch_subj01_1h/main",
        ("subj01", "first2"): f"{group}/first2/main",
        ("labsub", "40h"): f"{group}/all/main",
    }
    for (subject, run), folder in generators.items():
        found = files.generator_of_run(subject, Run.parse(run))
        assert found == f"{folder}/joint/generator.safetensors", (subject, run)


def test_models_given_from_elsewhere(study: MakeStudy) -> None:
    for models, folder in {"authors": "<results>/group/all/authors", "my/own/": "my/own"}.items():
        files = Files(study(models=models))
        assert model(files, "subj01", "40h") == f"{folder}/joint/{BIT}"
        assert files.base_model("subj01", "joint", BIT).startswith("<results>/group/without_")
        kept = files.pool_model(Pool.parse("first2"), Variant(), "joint", BIT)
        assert kept == f"<results>/group/first2/main/joint/{BIT}"


def test_parts_of_runs(study: MakeStudy) -> None:
    files = Files(study(recon={"n_shards": 2}))

    def folders(run: str, kind: str) -> set[str]:
        parts = files.recon_parts("subj01", Run.parse(run), kind)
        assert len(parts) in (0, 2)
        return {Path(part).parents[1].name for part in parts}

    assert folders("40h", "semantic") == {"recon_40h_parts"}
    assert folders("1h", "semantic") == {"recon_1h_parts"}
    for run in ("first2", "1h_scratch", "40h_k8", "40h_mlp_mse"):
        assert not folders(run, "semantic"), run
    assert folders("40h_k8", "lowlevel") == {"recon_40h_k8_parts"}
    assert folders("40h_mlp_mse", "lowlevel") == {"recon_40h_mlp_mse_parts"}
    assert not folders("40h_mlp_mse", "fused")
    assert folders("40h_k128", "fused") == {"recon_40h_parts"}


def test_files_of_baselines(study: MakeStudy) -> None:
    own = study(lab={"labsub": "folder"}, recon={"n_shards": 2}, features={"cache_tokens": True})
    files, inputs = Files(own), Inputs(own)

    def parts(run: str, kind: str) -> list[str]:
        return files.recon_parts("labsub", Run.parse(run), kind)

    for kind in ("lowlevel", "semantic", "fused"):
        assert len(parts("40h_ridge", kind)) == 2
        assert parts("40h_ridge", kind)[0].startswith("<results>/labsub/recon_40h_ridge_parts/")
    assert len(parts("1h_ridge", "fused")) == 2 and parts("1h_ridge", "semantic") == []
    ridge = {"subject": "labsub", "run": "1h_ridge"}
    assert inputs.predicted_features("semantic")(ridge) == ["<results>/labsub/ridge_1h/semantic"]
    assert inputs.predicted_features("semantic")({**ridge, "run": "1h"}) == []
    assert inputs.model_of_run("joint", BIT)(ridge) == inputs.generator_of_run(ridge) == []
    assert inputs.responses_of_run("betas", "betas.npy")(ridge) == []
    assert inputs.lowlevel_network(ridge) == []
    assert inputs.lowlevel_network({**ridge, "run": "1h"}) == inputs.networks("vgg")
    semantic = {"subject": "labsub", "duration": "40h", "kind": "semantic"}
    assert inputs.ridge_tokens(semantic) == ["<results>/labsub/tokens/stimuli"]
    lowlevel = {**semantic, "kind": "lowlevel"}
    assert inputs.ridge_network(semantic) == inputs.ridge_network(lowlevel) == []
    assert inputs.ridge_tokens(lowlevel) == []
    other = Inputs(study(baselines={"lowlevel": "vgg"}))
    assert other.ridge_network(semantic) == other.networks("semantic_tokens")
    assert other.ridge_network(lowlevel) == other.lowlevel_network(ridge) == other.networks("vgg")
    flag = Params(own).new_subject_flag
    assert flag(semantic) == flag({"subject": "subj01", "duration": "1h"}) == ["--new-subject"]
    assert flag({"subject": "subj01", "duration": "40h"}) == []


def test_demo_networks_are_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert network_files(["none"]) == []
    assert network_files(["vgg16_bn"]) == ["<store>/weights/vgg16_bn.safetensors"]
    monkeypatch.chdir(tmp_path)
    (outside,) = network_files(["demo_vit"])
    assert Path(outside).is_absolute() and Path(outside).is_file()
    monkeypatch.chdir(paths.DEMO_NETWORKS.parents[2])
    (inside,) = network_files(["demo_vit"])
    assert inside == os.path.join("brainit", "features", "demo", "demo_vit.safetensors")
    assert Path(inside).samefile(outside)


def test_latents_are_those_of_the_images_that_stage_2_sees(study: MakeStudy) -> None:
    own = study(lab={"labsub": "folder"}, features={"cache_latents": True})
    inputs = Inputs(own)
    pool = {"pool": "all", "variant": "main"}
    latents = ["<results>/group/latents/stimuli", "<results>/group/latents/external"]
    assert inputs.latents(pool) == latents
    assert inputs.latents({**pool, "variant": "no_external"}) == latents[:1]
    assert inputs.latents({"subject": "labsub", "duration": "1h"}) == [
        "<results>/labsub/latents/stimuli",
        latents[1],
    ]
    given = latent_flags(pool, {"latents": latents})
    assert given == ["--latents", latents[0], "--external-latents", latents[1]]
    assert latent_flags(pool, {"latents": []}) == []


def test_inputs_of_jobs(study: MakeStudy) -> None:
    inputs = Inputs(study(lab={"labsub": "folder"}, features={"cache_tokens": True}))
    pool = {"pool": "without_subj02", "variant": "main", "kind": "semantic"}
    assert "<results>/subj02/betas/betas.npy" not in inputs.betas_of_pool(pool)
    assert len(inputs.trials_of_pool(pool)) == len(inputs.voxels_of_pool(pool)) == 7
    tokens = ["<results>/group/tokens/stimuli", "<results>/group/tokens/external"]
    assert inputs.semantic_tokens(pool) == tokens
    assert inputs.semantic_tokens({**pool, "kind": "lowlevel"}) == []
    assert inputs.semantic_tokens({**pool, "variant": "no_external"}) == tokens[:1]
    assert inputs.latents(pool) == []
    new = {"subject": "labsub", "duration": "1h", "kind": "semantic"}
    assert inputs.semantic_tokens(new)[0] == "<results>/labsub/tokens/stimuli"
    assert inputs.predicted_fmri(new) == ["<results>/labsub/transfer_1h/synthetic_fmri"]
    assert inputs.predicted_fmri(pool) == ["<results>/group/without_subj02/main/synthetic_fmri"]
    assert inputs.predicted_fmri({**pool, "variant": "no_external"}) == []
    assert inputs.stimuli_seen({"pool": "scratch_labsub_1h"}) == "<results>/labsub/images/stimuli"
    assert inputs.stimuli_seen({"subject": "subj01"}) == "<results>/group/images/stimuli"
    synthetic = {"subject": "subj01", "run": "nsdsynthetic"}
    assert inputs.stimuli_seen(synthetic) == "<results>/subj01/nsdsynthetic/images"
    responses = inputs.responses_of_run("betas", "betas.npy")
    assert responses(synthetic) == ["<results>/subj01/nsdsynthetic/betas.npy"]
    assert responses({"subject": "subj01", "run": "1h"}) == ["<results>/subj01/betas/betas.npy"]
    base = inputs.base_model("bit_{kind}", BIT)
    assert base(new) == f"<results>/group/all/main/bit_semantic/{BIT}"
    assert inputs.lab_files({"subject": "labsub"}) == ["folder"]
    assert inputs.table_classes({"table": "t4"}) == inputs.table_encoder({"table": "t4"}) == []
    assert len(inputs.table_encoder({"table": "encoder"})) == 4
    assert inputs.table_classes({"table": "nsdsynthetic"}) == [
        "<results>/subj01/nsdsynthetic/classes.csv"
    ]


def test_kinds_that_a_run_does_not_have_are_refused_before_any_job(study: MakeStudy) -> None:
    inputs = Inputs(study())
    job = {"subject": "subj01", "run": "1h_scratch", "recon_kind": "fused"}
    assert inputs.recon_scored(job) == "<results>/subj01/recon_1h_scratch"
    assert inputs.recon_scored({**job, "run": "1h", "recon_kind": "semantic"})
    with refused("unknown-name", "subj01, 1h_scratch", "lowlevel, fused", "semantic"):
        inputs.recon_scored({**job, "recon_kind": "semantic"})


def test_words_of_commands(study: MakeStudy) -> None:
    own = Params(study(joint={"processes": 2}))
    pool = {"pool": "first2", "variant": "main"}
    input = {"betas": ["a", "b"], "synthetic": ["folder"], "tokens": ["t"], "card": "c"}
    assert labelled("betas", ["x", "y"])(pool, input) == ["x=a", "y=b"]
    members = Inputs(own.study).members_of_pool
    assert labelled("betas", members)(pool, input) == ["subj01=a", "subj02=b"]
    with pytest.raises(ValueError):
        labelled("betas", ["x"])(pool, input)
    pairs = ["--synthetic", "subj01=folder/subj01", "subj02=folder/subj02"]
    assert own.synthetic_flags(pool, input) == pairs
    new = {"subject": "subj05", "duration": "1h"}
    assert own.synthetic_flags(new, input) == ["--synthetic", "folder/subj05"]
    assert own.synthetic_flags(new, {"synthetic": []}) == []
    assert params.token_flags(pool, input) == ["--tokens", "t"]
    assert params.flags(truth="truth", card="card")(pool, input) == ["--card", "c"]
    folders = {"recons": ["r/subj01/recon_40h_k8"]}
    assert params.recons_by_run("recons")(pool, folders) == ["subj01/40h_k8=r/subj01/recon_40h_k8"]
    assert own.joint_launcher(pool)[-2:] == ["--nproc-per-node", "2"]
    assert Params(study()).joint_launcher(pool) == []
    assert params.duration_of_pool({"pool": "scratch_subj01_1h"}) == "1h"
    assert own.uses_mlp({"variant": "mlp_mse", "kind": "lowlevel"})
    assert own.uses_mlp({"run": "40h_mlp_mse"})
    assert not own.uses_mlp({"variant": "mlp_mse", "kind": "semantic"})
    assert not own.uses_mlp({"run": "40h"})


def test_an_atlas_of_a_variant(study: MakeStudy) -> None:
    atlas = {"method": "atlas", "atlas": "{store}/{hemisphere}.annot"}
    own = study(ablations={"mine": {"clusters": atlas}}, paths={"store": "s"})
    job = {"pool": "all", "variant": "mine"}
    assert Inputs(own).atlas_source(job) == ["s/lh.annot", "s/rh.annot"]
    assert Params(own).atlas_flags(job) == ["--atlas", "s/lh.annot", "s/rh.annot"]
    assert Params(own).atlas_flags({"pool": "all", "variant": "main"}) == []


JOBS_OF_PEERS = [
    *(("train_peer", {"pool": "all", "peer": peer}) for peer in ("mindeye2", "mindbridge")),
    *(
        (step, {"subject": "subj01", "duration": "1h", key: peer})
        for step, key in (("adapt_peer", "peer"), ("predict_peer", "method"))
        for peer in ("mindeye2", "lora_skip", "mindbridge")
    ),
    ("predict_peer", {"subject": "subj01", "duration": "1h", "method": "stage1"}),
]


@pytest.mark.parametrize(
    ("section", "changed"),
    [
        ("mindeye2", {"mindeye2", "lora_skip"}),
        ("lora_skip", {"lora_skip"}),
        ("mindbridge", {"mindbridge"}),
    ],
)
def test_a_peer_s_setting_changes_no_other_peer_s_jobs(
    study: MakeStudy, section: str, changed: set[str]
) -> None:
    """The `settings` parameter differs for the peer's own jobs, and for what starts from it."""
    before, after = Params(study()), Params(study(**{section: {"lr": 0.125}}))
    for step, job in JOBS_OF_PEERS:
        peer = job.get("peer") or job["method"]
        texts = [params.settings(step)(job) for params in (before, after)]
        assert (texts[0] != texts[1]) == (peer in changed), (step, peer)
