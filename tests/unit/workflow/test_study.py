"""Runs, scores and tables a configuration asks for."""

from typing import Any

import pytest

from brainit.core.errors import PipelineError
from brainit.evaluation.tables import rows
from brainit.workflow import study as studies
from brainit.workflow.files import Files
from brainit.workflow.inputs import Inputs
from brainit.workflow.params import Params
from brainit.workflow.runs import Run, Variant

from .conftest import MakeStudy

PEOPLE = ["subj01", "subj02", "subj05", "subj07"]


def own(runs: list[Run]) -> list[str]:
    return [run.name for run in runs if not run.is_baseline]


def baselines(runs: list[Run]) -> list[str]:
    return [run.name for run in runs if run.is_baseline]


def test_runs_of_the_paper(study: MakeStudy) -> None:
    paper = study()
    assert own(paper.runs_of("subj01")) == ["40h", "15min", "30min", "1h"]
    assert own(paper.runs_of("subj02")) == ["40h", "1h"]
    assert baselines(paper.runs_of("subj02")) == ["40h_ridge", "40h_knn", "1h_ridge", "1h_knn"]
    assert len(baselines(paper.runs_of("subj01"))) == 8
    assert paper.runs_of("subj03") == []
    assert {subject for subject, _ in paper.main_runs} == set(PEOPLE)
    assert len(paper.main_scores) == 4 * (3 + 1) + 2 + 4 * (3 + 1 + 2) + 4
    assert "subj01/40h_ridge/lowlevel" in paper.main_scores
    assert "subj01/1h_ridge/lowlevel" not in paper.main_scores
    assert "subj01/40h_knn/lowlevel" not in paper.main_scores
    assert "subj01/40h/lowlevel" in paper.main_scores
    assert "subj01/1h/lowlevel" not in paper.main_scores, "of less data the final images alone"


def test_peers_have_all_amounts_that_the_settings_name(study: MakeStudy) -> None:
    """Also those that no other row has."""
    more = study(peers={"methods": ["mindbridge"], "durations": ["2h", "1h", "30min"]})
    found = [f"{subject}/{run.name}" for subject, run in more.peer_runs]
    amounts = ["40h", "30min", "1h", "2h"]
    assert found == [f"subj01/{amount}_mindbridge" for amount in amounts]
    assert {"subj01/1h/fused", "subj01/2h_mindbridge/semantic"} <= more.peer_scores.keys()


def test_tables_show_identification_by_the_decoders_that_their_target_makes(
    study: MakeStudy,
) -> None:
    one = study(
        nsd={"evaluated": ["subj01"], "transfer": ["subj02"]},
        peers={"methods": ["mindeye2"], "durations": ["1h"]},
    )
    files = Files(one)
    of_all = ["subj01/40h/stage1", "subj01/40h/ridge"]
    of_peers = [f"subj01/40h/{source}" for source in ("encoder", "ridge", "mindeye2")]
    of_peers += [f"subj02/1h/{source}" for source in ("encoder", "ridge", "mindeye2")]
    assert list(files.identifications("t6")) == of_all
    assert list(files.identifications("peers")) == of_peers
    both = files.identifications("retrieval")
    assert set(both) == {*of_all, *of_peers}
    assert both["subj02/1h/mindeye2"] == "<results>/subj02/identification/1h_mindeye2.csv"
    assert files.identifications("table1") == {}
    paths = Inputs(one).table_identifications({"table": "t6"})
    flags = Params(one).identification_flags({"table": "t6"}, {"identification": paths})
    assert flags == ["--identification", *(f"{n}={p}" for n, p in zip(of_all, paths, strict=True))]
    assert Params(one).identification_flags({"table": "t4"}, {"identification": []}) == []


def test_a_contrastive_ablation_is_a_row_of_peers_and_retrieval(study: MakeStudy) -> None:
    overlay = {"contrastive": {"bit_semantic": {"contrastive_weight": 0.033}}}
    one = study(ablations=overlay, peers={"n_subjects": 1})
    files, name = Files(one), "subj01/40h_contrastive/fused"
    assert one.scores_of_table("peers")[name].name == name
    assert name in one.scores_of_table("retrieval") and name not in one.main_scores
    for table in ("peers", "retrieval"):
        assert "subj01/40h/contrastive" in files.identifications(table)
    job = {"subject": "subj01", "duration": "40h", "method": "contrastive"}
    assert Inputs(one).peer_model(job).endswith("all/contrastive/bit_semantic/bit.safetensors")
    folder = Inputs(one).identifying_features({**job, "source": "contrastive"})
    assert folder == ["<results>/subj01/peer_40h_contrastive/retrieval"]
    other = study(ablations={"contrastive": {"clusters": {"n_clusters": 128}}})
    for plain in (study(), other):
        assert plain.contrastive_runs == [] and name not in plain.peer_scores
        assert "subj01/40h/contrastive" not in Files(plain).identifications("retrieval")


def test_runs_that_settings_add(study: MakeStudy) -> None:
    more = study(transfer={"durations": ["2h", "1h"], "scratch": True})
    assert own(more.runs_of("subj02")) == ["40h", "1h", "2h", "1h_scratch"]
    assert own(more.runs_of("subj01")) == ["40h", "15min", "30min", "1h", "2h", "1h_scratch"]
    simulated = study(run={"simulation": True}, nsd={"evaluated": ["subj01"]})
    assert "40h_place_only" in baselines(simulated.runs_of("subj01"))
    assert "40h_place_only" not in baselines(simulated.runs_of("subj02"))
    assert baselines(more.runs_of("subj02"))[-2:] == ["2h_ridge", "2h_knn"]


def test_scores_beyond_the_paper(study: MakeStudy) -> None:
    further = study().further_scores
    assert [n for n in further if "nsdsynthetic" in n] == [
        f"{s}/nsdsynthetic/{kind}" for s in PEOPLE for kind in studies.KINDS
    ]
    others = [n for n in further if "nsdsynthetic" not in n]
    expected = ["450trials", "2h", "5h", "10h", "first1", "first2", "first4"]
    assert others == [f"subj01/{run}/fused" for run in expected]
    few = study(nsd={"subjects": PEOPLE[:2], "evaluated": PEOPLE[:1], "transfer": []})
    assert [n.split("/")[1] for n in few.further_scores][3:] == ["first1"]
    assert not study(models="authors").further_scores.keys() & {"subj01/first2/fused"}
    volume = study(nsd={"space": "func1pt8mm", "mask": "nsdgeneral"})
    assert not volume.class_subjects and study().class_subjects == ["subj01"]


def test_ablation_scores_share_files(study: MakeStudy) -> None:
    scores = study().ablation_scores
    assert scores["subj01/40h_k128/fused"].run == "40h", "k128 is the paper's number of clusters"
    assert scores["subj01/40h_k8/fused"].run == "40h_k8"
    assert scores["subj01/40h_mlp_mse/lowlevel"].kind == "lowlevel"
    assert "subj01/40h_mlp_mse/fused" not in scores


def test_other_runs_are_what_everything_adds(study: MakeStudy) -> None:
    found = {(subject, run.name) for subject, run in study().other_runs}
    assert ("subj01", "40h_k8") in found and ("subj01", "nsdsynthetic") in found
    assert not found & {(subject, run.name) for subject, run in study().main_runs}


def test_tables_are_those_of_the_evaluation(study: MakeStudy) -> None:
    assert set(studies.TABLES) | set(studies.ABLATION_TABLES) == set(rows.TABLES)
    assert tuple(rows.BEYOND) == studies.BEYOND_TABLES
    paper = study()
    assert paper.scores_of_table("t4") == paper.main_scores
    assert paper.scores_of_table("t3") == paper.ablation_scores
    assert paper.scores_of_table("seeds") == paper.every_score
    for name, table in rows.TABLES.items():
        runs = {row.run for row in table.conditions if not row.needs}
        assert runs <= {n.split("/")[1] for n in paper.scores_of_table(name)}, name


@pytest.mark.parametrize(
    ("overlay", "where", "code", "fact"),
    [
        ({"nsd": {"evaluated": ["subj09", "subj01"]}}, "nsd.evaluated", "unknown-name", "subj09"),
        ({"nsd": {"evaluated": []}}, "nsd.evaluated", "invalid-setting", "none"),
        ({"nsd": {"transfer": ["subj09"]}}, "nsd.transfer", "unknown-name", "subj09"),
        (
            {"nsd": {"subjects": ["subj01"], "evaluated": ["subj01"], "transfer": ["subj01"]}},
            "nsd.transfer",
            "invalid-setting",
            "subj01",
        ),
        ({"seeds": {"values": [43, 42]}}, "seeds.values", "invalid-setting", "42"),
        ({"seeds": {"values": [7], "rows": ["k9"]}}, "seeds.rows", "unknown-name", "k9"),
        ({"ablations": {"mine": {"encoder": {"epochs": 2}}}}, "mine", "invalid-setting", "epochs"),
        ({"joint": {"processes": 3}}, "joint.processes", "invalid-setting", "3"),
        (
            {"ablations": {"mine": {"joint": {"processes": 3}}}},
            "ablations.mine.joint.processes",
            "invalid-setting",
            "4",
        ),
    ],
)
def test_choices_that_cannot_be_run(
    study: MakeStudy, overlay: dict[str, Any], where: str, code: str, fact: str
) -> None:
    with pytest.raises(PipelineError) as error:
        study(**overlay)
    assert where in error.value.where and error.value.code == code
    assert fact in str(error.value)


def test_a_variant_changes_what_follows_its_settings(study: MakeStudy) -> None:
    overlay = {
        "short": {"joint": {"max_steps": 3}},
        "inversion": {"dip": {"iterations": 9}},
        "off": None,
    }
    variants = study(ablations=overlay).variants
    made = ("encoder", "clusters", "bit_lowlevel", "bit_semantic", "joint", "lowlevel", "fused")
    changed = {
        name: [part for part in made if variants.changes(Variant.parse(name), part)]
        for name in ("k8", "no_external", "mlp_mse", "short", "inversion", "k128")
    }
    assert changed == {
        "k8": list(made[1:]),
        "no_external": list(made[2:]),
        "mlp_mse": ["bit_lowlevel", "lowlevel", "fused"],
        "short": ["joint", "fused"],
        "inversion": ["lowlevel", "fused"],
        "k128": [],
    }
    assert "off" not in variants.names
    assert variants.kinds_of(Variant("mlp_mse")) == ["lowlevel"]
    assert variants.kinds_of(Variant("inversion")) == ["lowlevel", "fused"]


def test_a_repeat_keeps_the_clusters_of_its_row(study: MakeStudy) -> None:
    variants = study(seeds={"values": [7], "rows": ["main", "k8"]}).variants
    assert variants.repeats == {"seed7", "k8_seed7"}
    repeat = Variant.parse("k8_seed7")
    assert variants.maker(repeat, "clusters") == Variant("k8")
    assert variants.maker(repeat, "joint") == repeat
    assert variants.settings_of(repeat)["run"]["seed"] == 7
    assert variants.settings_of(repeat)["clusters"]["n_clusters"] == 8
    named_alike = study(ablations={"wide_seed7": {"bit": {"width": 8}}}).variants
    assert named_alike.maker(Variant.parse("wide_seed7"), "clusters").name == "wide_seed7"
