"""Random streams are derived by name, repeat, and leave the global state alone."""

import os

import pytest
import torch

from brainit.core.seeds import seeded_init, torch_generator, use_threads
from brainit.core.streams import derived_seed, numpy_generator


def test_streams_repeat_and_differ() -> None:
    assert numpy_generator(1, "a").random() == numpy_generator(1, "a").random()
    draws = {
        numpy_generator(*names).random() for names in [(1, "a"), (1, "b"), (2, "a"), (1, "a", 0)]
    }
    assert len(draws) == 4
    assert torch.equal(
        torch.rand(3, generator=torch_generator(1, "a")),
        torch.rand(3, generator=torch_generator(1, "a")),
    )


def test_derived_seed_never_changes() -> None:
    assert derived_seed(42, "encoder", "subj01") == 2964944765987875813


def test_init_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded_init(7, "net"):
        first = torch.nn.Linear(3, 3).weight.clone()
    assert torch.equal(torch.rand(2), expected)
    with seeded_init(7, "net"):
        assert torch.equal(torch.nn.Linear(3, 3).weight, first)


def test_threads_and_algorithms_are_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    was = torch.are_deterministic_algorithms_enabled()
    try:
        use_threads(1)
        assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(was)
