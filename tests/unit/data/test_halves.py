"""Halves of the training images."""

import pandas as pd
from tests.refusals import refused

from brainit.data.halves import half_of_trials


def trials() -> pd.DataFrame:
    nsd_id = [number // 2 for number in range(240)]
    split = ["val" if i % 10 == 0 else "test" if i % 10 == 1 else "train" for i in nsd_id]
    return pd.DataFrame({"trial": range(240), "nsd_id": nsd_id, "split": split})


def test_halves_share_no_training_image_and_leave_the_rest() -> None:
    whole = trials()
    first, second = (half_of_trials(whole, half, 42) for half in ("half_a", "half_b"))
    is_train = whole["split"] == "train"
    for half in (first, second):
        assert half.drop(columns="split").equals(whole.drop(columns="split"))
        assert half.loc[~is_train, "split"].equals(whole.loc[~is_train, "split"])
        assert set(half.loc[is_train, "split"]) == {"train", "unused"}
    images = [set(half.loc[half["split"] == "train", "nsd_id"]) for half in (first, second)]
    assert not images[0] & images[1]
    assert images[0] | images[1] == set(whole.loc[is_train, "nsd_id"])
    assert min(len(half) for half in images) > 30


def test_an_image_is_in_one_half_whatever_the_table() -> None:
    whole = trials()
    few = whole[whole["nsd_id"] < 60]
    assert half_of_trials(few, "half_a", 42).equals(half_of_trials(whole, "half_a", 42)[:120])


def test_another_half_is_refused() -> None:
    with refused("invalid-argument", "half_a or half_b", "half_c"):
        half_of_trials(trials(), "half_c", 42)
