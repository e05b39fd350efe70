"""Cohorts of several data sets: names, pools, and whose images and models a job reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from brainit.core.errors import PipelineError
from brainit.core.settings import parse_sections
from brainit.workflow.cohort import dataset_of, folder_name, with_members
from brainit.workflow.files import Files
from brainit.workflow.inputs import Inputs
from brainit.workflow.params import Params
from brainit.workflow.runs import Duration, Run, Variant
from brainit.workflow.study import Study
from brainit.workflow.variants import merged

LAB = {"lab/anna": "a", "ben": "b", "laion/sub-01": "l", "mosaic/BOLD5000-CSI1": "m"}
MIXED = {"subjects": ["subj01", "subj02", "laion/sub-01", "lab/anna"]}
COHORT = "<results>/group/cohort"


def study_of(paper: dict[str, Any], cohort: dict[str, Any], **overlay: Any) -> Study:
    return Study.of(with_members(merged(paper, {"lab": LAB, "cohort": cohort, **overlay})))


def test_names_in_paths() -> None:
    names = {
        "subj01": ("subj01", "nsd"),
        "nsd/subj01": ("subj01", "nsd"),
        "lab/anna": ("anna", "lab"),
        "anna": ("anna", "lab"),
        "laion/sub-01": ("laion-sub-01", "laion"),
        "mosaic/BOLD5000-CSI1": ("mosaic-BOLD5000-CSI1", "mosaic"),
    }
    for member, (name, dataset) in names.items():
        assert folder_name(member) == folder_name(name) == name
        assert dataset_of(name) == dataset


@pytest.mark.parametrize(
    "member",
    ["lab/sub-01", "lab/01", "lab/laion", "lab/subj01", "lab/subj99", "lab-anna", "mosaic"]
    + ["nsd/anna", "nsd/subj09", "nsd-anna", "lab/"],
)
def test_names_like_another_data_set_s_are_refused(paper: dict[str, Any], member: str) -> None:
    """`lab/sub-01` would be `sub-01` in paths: a member of a data set `sub`."""
    for part in ({"lab": {member: "a"}}, {"cohort": {"subjects": ["subj01", member]}}):
        with pytest.raises(PipelineError) as error:
            with_members(merged(paper, part))
        assert error.value.code == "invalid-setting" and member in error.value.where
        with pytest.raises(PipelineError) as error:
            parse_sections(part)
        assert error.value.code == "invalid-setting"


def test_a_configuration_without_a_cohort_keeps_its_subjects(paper: dict[str, Any]) -> None:
    assert with_members(paper) == paper
    nsd = Study.of(with_members(paper))
    assert nsd.cohort == nsd.subjects == nsd.nsd_subjects and not nsd.is_joined
    assert Files(nsd).external == "<results>/group/images/external"


def test_new_subjects_alone_join_nsd_s_own_pool(paper: dict[str, Any]) -> None:
    """So that no picture that the new subject tests trains the pool."""
    study = study_of(paper, {"transfer": ["lab/anna"]})
    assert (
        study.subjects == paper["nsd"]["subjects"] and study.evaluated == paper["nsd"]["evaluated"]
    )
    assert study.transfer == ["anna"] and study.is_joined and study.is_new("anna")
    assert Inputs(study).trials_of_pool({"pool": "first1"}) == [f"{COHORT}/trials/subj01.csv"]


def test_two_folders_of_one_subject_are_refused(paper: dict[str, Any]) -> None:
    with pytest.raises(PipelineError) as error:
        with_members({**paper, "lab": {"lab/anna": "a", "anna": "b"}})
    assert error.value.code == "duplicate-data" and "lab/anna" in error.value.found


def test_members_of_a_mixed_cohort_share_one_pool(paper: dict[str, Any]) -> None:
    cohort = {**MIXED, "transfer": ["laion/sub-01", "ben"]}
    study = study_of(paper, cohort, features={"cache_tokens": True})
    files, inputs = Files(study), Inputs(study)
    assert study.evaluated == study.subjects == ["subj01", "subj02", "laion-sub-01", "anna"]
    assert study.cohort == [*study.subjects, "ben"] and study.nsd_subjects == ["subj01", "subj02"]
    assert study.members("without_laion-sub-01") == ["subj01", "subj02", "anna"]
    assert study.members("first3") == ["subj01", "subj02", "laion-sub-01"]
    for job in (
        {"pool": "all"},
        {"pool": "without_anna"},
        {"subject": "subj02"},
        {"subject": "ben"},
    ):
        assert inputs.stimuli_seen(job) == f"{COHORT}/images/stimuli"
    assert inputs.trials_of_pool({"pool": "first1"}) == [f"{COHORT}/trials/subj01.csv"]
    assert files.external == f"{COHORT}/images/external", "without what a member tests"
    assert files.tokens(Variant.parse("main"), pool="all")[1:] == [f"{COHORT}/tokens/external"]
    decoder = inputs.responses_of_run("design", "trials.csv")({"subject": "anna", "run": "40h"})
    assert decoder == [f"{COHORT}/trials/anna.csv"]
    assert list(files.own_stimuli()) == ["nsd", "laion-sub-01", "anna", "ben"], "NSD keeps its rows"
    models = {
        ("anna", "40h"): "group/all/main",
        ("laion-sub-01", "1h"): "laion-sub-01/transfer_1h",
        ("ben", "40h"): "ben/transfer_40h",
        ("ben", "15min_scratch"): "group/scratch_ben_15min/main",
    }
    for (subject, run), folder in models.items():
        found = files.model_of_run(subject, Run.parse(run), "joint", "bit.safetensors")
        assert found == f"<results>/{folder}/joint/bit.safetensors"
    assert "without_laion-sub-01" in files.base_model("laion-sub-01", "joint", "b")
    assert "/all/main/" in files.base_model("ben", "joint", "b")
    assert not [run for run in study.runs_of("ben") if run.is_pooled]


def test_peers_transfer_from_a_pool_without_the_subject(paper: dict[str, Any]) -> None:
    files = Files(study_of(paper, {**MIXED, "transfer": ["anna", "ben", "subj05"]}))
    pools = {"anna": "without_anna", "ben": "all", "subj05": "all", "subj02": "without_subj02"}
    full, hour = Duration.parse("40h"), Duration.parse("1h")
    for subject, pool in pools.items():
        assert files.peer_pool(subject).name == pool
        assert files.peer_base(subject, "lora_skip") == (
            f"<results>/group/{pool}/main/peer_mindeye2/bit.safetensors"
        )
        of_hour = files.peer_model(subject, hour, "mindbridge")
        assert of_hour == f"<results>/{subject}/peer_1h_mindbridge/bit.safetensors"
        of_all = files.peer_model(subject, full, "mindbridge")
        own = f"<results>/{subject}/peer_40h_mindbridge/bit.safetensors"
        pooled = "<results>/group/all/main/peer_mindbridge/bit.safetensors"
        assert of_all == (own if subject in ("ben", "subj05") else pooled)
    job = {"subject": "anna", "peer": "mindbridge"}
    assert Inputs(files.study).peer_sources(job) == ["subj01", "subj02", "laion-sub-01"]


def test_a_lab_subject_outside_the_cohort_keeps_its_own_images(paper: dict[str, Any]) -> None:
    inputs = Inputs(study_of(paper, MIXED))
    assert inputs.stimuli_seen({"subject": "ben"}) == "<results>/ben/images/stimuli"
    assert inputs.trials({"subject": "ben"}) == "<results>/ben/design/trials.csv"


def test_a_cohort_without_nsd_asks_for_nothing_of_it(paper: dict[str, Any]) -> None:
    study = study_of(paper, {"subjects": ["anna", "ben"], "transfer": ["subj05"]})
    assert study.nsd_subjects == ["subj05"], "a new subject of NSD, from a lab's models"
    assert Files(study).base_model("subj05", "joint", "b").startswith("<results>/group/all/")
    alone = study_of(paper, {"subjects": ["anna", "ben"]})
    assert alone.nsd_subjects == [] and "nsd" not in Files(alone).own_stimuli()
    assert {"nsdsynthetic", "encoder"}.isdisjoint(alone.tables)
    assert not [name for name in alone.every_score if "nsdsynthetic" in name]


def test_steps_of_nsd_get_its_subjects_alone(paper: dict[str, Any]) -> None:
    params = Params(study_of(paper, MIXED))
    assert '"subjects": ["subj01", "subj02"]' in params.settings("download")({})
    assert '"laion-sub-01"' in params.settings("check_results")({})


@pytest.mark.parametrize(
    ("cohort", "overlay", "code", "fact"),
    [
        ({"subjects": ["anna", "carl"]}, {}, "unknown-name", "carl"),
        ({"subjects": ["anna"], "evaluated": ["ben"]}, {}, "unknown-name", "ben"),
        ({"subjects": ["anna"], "transfer": ["carl"]}, {}, "unknown-name", "carl"),
        ({"subjects": ["anna"], "transfer": ["anna"]}, {}, "invalid-setting", "anna"),
        ({"subjects": []}, {}, "invalid-setting", "none"),
        ({"subjects": ["anna"]}, {"run": {"simulation": True}}, "invalid-setting", "simulation"),
        (MIXED, {"clusters": {"method": "coordinates"}}, "invalid-setting", "coordinates"),
        (MIXED, {"clusters": {"method": "atlas"}}, "invalid-setting", "laion"),
        (
            {"subjects": ["mosaic/BOLD5000-CSI1", "anna"]},
            {"clusters": {"method": "coordinates"}},
            "invalid-setting",
            "mosaic",
        ),
    ],
)
def test_cohorts_that_cannot_be_run(
    paper: dict[str, Any], cohort: dict[str, Any], overlay: Any, code: str, fact: str
) -> None:
    with pytest.raises(PipelineError) as error:
        study_of(paper, cohort, **overlay)
    assert error.value.code == code and fact in str(error.value)


@pytest.mark.parametrize(
    ("overlay", "fact"),
    [
        ({"joint": {"optimizer": "adafactor"}}, "joint.optimizer"),
        ({"joint": {"processes": 2}}, "joint.processes"),
        ({"ablations": {"short": {"bit_semantic": {"optimizer": "muon"}}}}, "in short"),
    ],
)
def test_moments_on_the_host_are_refused_before_any_job(
    paper: dict[str, Any], overlay: dict[str, Any], fact: str
) -> None:
    """In ablations, too; with AdamW and one process they are taken."""
    host = {**MIXED, "embedding_states": "host"}
    assert study_of(paper, host).config["cohort"]["embedding_states"] == "host"
    study_of(paper, MIXED, **overlay)
    with pytest.raises(PipelineError) as error:
        study_of(paper, host, **overlay)
    assert error.value.code == "invalid-setting" and fact in str(error.value)


def test_clusters_by_place_need_one_space(paper: dict[str, Any]) -> None:
    """Ablations by place are refused where a job asks for them: their defaults name some."""
    variant = {"pool": "all", "variant": "coordinates"}
    with pytest.raises(PipelineError) as error:
        Inputs(study_of(paper, MIXED)).atlas_source(variant)
    assert error.value.code == "invalid-setting" and "ablations.coordinates" in str(error.value)
    one_space = study_of(paper, {"subjects": ["mosaic/BOLD5000-CSI1"]})
    one_space.require_clusters(Variant.parse("coordinates"))
    with pytest.raises(PipelineError):
        study_of(paper, {"subjects": ["mosaic/BOLD5000-CSI1"]}, clusters={"method": "atlas"})
    nsd = study_of(paper, {})
    assert Inputs(nsd).atlas_source(variant) == []


def test_a_time_that_no_file_tells_is_refused_before_any_job(
    paper: dict[str, Any], tmp_path: Path
) -> None:
    """A subject without sessions and seconds has amounts by trials; with either, by time."""
    about = {"anna": {"has_sessions": False}, "ben": {"has_sessions": False}, "laion-sub-01": {}}
    about["ben"]["seconds_per_trial"] = 4.0
    for name, content in about.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "subject.json").write_text(json.dumps(content))
    lab = {name: str(tmp_path / name) for name in about}
    lab["mosaic/BOLD5000-CSI1"] = str(tmp_path / "none")
    members = {"subjects": ["subj01", *lab]}
    inputs = Inputs(Study.of(with_members(merged(paper, {"lab": lab, "cohort": members}))))
    for name in ("ben", "laion-sub-01", "mosaic-BOLD5000-CSI1", "subj01"):
        for duration in ("1h", "15min", "500trials"):
            inputs.trials({"subject": name, "duration": duration})
            inputs.trials_of_pool({"pool": f"scratch_{name}_{duration}"})
    for duration in ("500trials", "450trials", "40h"):
        inputs.trials({"subject": "anna", "duration": duration})
    inputs.trials({"subject": "anna"})
    assert len(inputs.trials_of_pool({"pool": "all"})) == 5
    for duration in ("1h", "15min", "2h"):
        for ask in (
            lambda d=duration: inputs.trials({"subject": "anna", "duration": d}),
            lambda d=duration: inputs.trials_of_pool({"pool": f"scratch_anna_{d}"}),
        ):
            with pytest.raises(PipelineError) as error:
                ask()
            assert error.value.code == "missing-data"
            assert error.value.where == f"duration {duration} of anna"
            assert "recon_500trials" in error.value.fix
