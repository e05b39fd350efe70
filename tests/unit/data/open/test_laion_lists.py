"""The real train/test lists of LAION-fMRI, read and counted; and lists that are none."""

import json
from pathlib import Path

import pytest
from tests.refusals import refused

from brainit.data.open.laion_tables import (
    COMMIT,
    KNOWN_LISTS,
    SplitList,
    read_split_list,
    require_list_of_subject,
)

GOLDEN = Path(__file__).parents[3] / "golden/laion_splits"
COUNTS = {
    ("shared", "tau"): (897, 224),
    ("shared", "ood"): (1121, 371),
    ("shared", "cluster_k5_0"): (847, 274),
    ("shared", "cluster_k5_1"): (873, 248),
    ("shared", "cluster_k5_2"): (875, 246),
    ("shared", "cluster_k5_3"): (896, 225),
    ("shared", "cluster_k5_4"): (993, 128),
    ("sub-01", "tau"): (4666, 1167),
    ("sub-01", "ood"): (5833, 371),
}


def read(folder: Path, pool: str, name: str) -> SplitList:
    return read_split_list(folder / pool / f"{name}.json", name, pool, "unknown")


def test_the_list_in_the_tests() -> None:
    split = read(GOLDEN, "shared", "tau")
    assert (len(split.train), len(split.test)) == COUNTS["shared", "tau"]
    assert len(split.train | split.test) == 1121
    assert split.source_commit == COMMIT
    assert split.split_of(sorted(split.test)[:2] + ["other.jpg"]) == ["test", "test", "unused"]


def test_the_real_lists(shared_dir: Path) -> None:
    folder = shared_dir / "data/open/laion_fmri_splits"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    lists = {key: read(folder, *key) for key in COUNTS}
    for key, (n_train, n_test) in COUNTS.items():
        assert (len(lists[key].train), len(lists[key].test)) == (n_train, n_test), key
        assert lists[key].source_commit == COMMIT and key in KNOWN_LISTS
    everything = {key: split.train | split.test for key, split in lists.items()}
    clusters = [everything["shared", f"cluster_k5_{k}"] for k in range(5)]
    assert all(ids == everything["shared", "tau"] for ids in clusters)
    held_out = [lists["shared", f"cluster_k5_{k}"].test for k in range(5)]
    assert set.union(*map(set, held_out)) == everything["shared", "tau"]
    assert sum(map(len, held_out)) == 1121
    assert len(everything["sub-01", "tau"]) == 5833
    assert everything["sub-01", "tau"] == lists["sub-01", "ood"].train
    assert lists["sub-01", "ood"].test == lists["shared", "ood"].test
    assert sum(" " in label for label in lists["shared", "ood"].test) == 4
    own = {label for label in everything["sub-01", "tau"] if label.startswith("unique_")}
    assert len(own) == 4712 and all("_p01." in label for label in own)
    assert everything["sub-01", "tau"] - own == everything["shared", "tau"]


def test_the_ids_decide_and_not_the_bytes(tmp_path: Path) -> None:
    content = json.loads((GOLDEN / "shared/tau.json").read_text())
    content["params"] = {"seed": 2026}
    content["variants"][0]["train_ids"].reverse()
    (tmp_path / "tau.json").write_text(json.dumps(content))
    assert read_split_list(tmp_path / "tau.json", "tau", "shared", "later").source_commit == COMMIT
    moved = content["variants"][0]["train_ids"].pop()
    content["variants"][0]["test_ids"].append(moved)
    content["n_train"], content["n_test"] = 896, 225
    (tmp_path / "tau.json").write_text(json.dumps(content))
    assert read_split_list(tmp_path / "tau.json", "tau", "shared", "later").source_commit == "later"


def test_lists_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "tau.json"
    content = json.loads((GOLDEN / "shared/tau.json").read_text())
    for broken, code in (
        ([], "wrong-kind"),
        ({**content, "variants": []}, "wrong-kind"),
        ({**content, "n_test": 5}, "inconsistent-inputs"),
    ):
        path.write_text(json.dumps(broken))
        with refused(code, "tau.json"):
            read_split_list(path, "tau", "shared", "")
    with refused("missing-file", "absent.json"):
        read_split_list(tmp_path / "absent.json", "tau", "shared", "")
    split = read(GOLDEN, "shared", "tau")
    require_list_of_subject(split, ["unique_LAION_x_p01.jpg"], "sub-01")  # no own images listed
