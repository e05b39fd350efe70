"""A large pool's batches mix few subjects, and an epoch still visits every example once."""

import numpy as np
import pytest
import torch

from brainit.training.few_subjects import with_few_subjects


def batches_of(
    counts: list[int], batch: int, most: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    subject = np.repeat(np.arange(len(counts)), counts)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(subject), generator=generator).numpy()
    found = with_few_subjects(order, subject, batch, most, generator)
    return order, found, [subject[found[k : k + batch]] for k in range(0, len(found), batch)]


@pytest.mark.parametrize("most", [2, 4, 8])
def test_a_batch_of_a_large_pool_mixes_few_subjects(most: int) -> None:
    order, found, batches = batches_of([700] * 93, batch=128, most=most)
    assert sorted(found) == sorted(order), "each example once"
    n_mixed = [len(np.unique(batch)) for batch in batches]
    as_drawn = np.repeat(np.arange(93), 700)[order[:128]]
    assert len(np.unique(as_drawn)) > 60, "as drawn, most of the 93"
    assert np.mean(n_mixed) <= most and max(n_mixed) <= most + 2
    assert [len(batch) for batch in batches[:-1]] == [128] * (len(batches) - 1)


def test_unequal_subjects_are_visited_throughout_the_epoch() -> None:
    counts = [2000, *([100] * 30)]
    _, _, batches = batches_of(counts, batch=64, most=4)
    places = [k for k, batch in enumerate(batches) if (batch == 5).any()]
    assert min(places) < len(batches) / 3 and max(places) > len(batches) * 2 / 3


def test_a_small_pool_is_left_as_drawn() -> None:
    order, found, _ = batches_of([50] * 8, batch=16, most=8)
    np.testing.assert_array_equal(found, order)


def test_equal_seeds_give_equal_orders() -> None:
    first, again, other = (batches_of([40] * 20, 16, 3, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
