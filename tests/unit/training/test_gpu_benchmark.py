"""A GPU's figures: their benchmarks run at tiny sizes, and at full size where there is one."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = ("bench_gpu_tokens", "bench_gpu_training")


@pytest.fixture
def benchmarks(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Import the benchmarks as a script would; put torch's algorithms back afterwards."""
    monkeypatch.syspath_prepend(repository / "tests" / "benchmarks")
    was = torch.are_deterministic_algorithms_enabled()
    yield [import_module(name) for name in BENCHMARKS]
    torch.use_deterministic_algorithms(was)


def test_tokens_are_timed_at_tiny_sizes(
    benchmarks: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmarks[0].main(["--tiny"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "tiny sizes, no figure means anything" in head
    for name, line in zip(("ViT-bigG/14", "ViT-L/14"), lines, strict=True):
        assert name in line and line.count("tokens/s at batch") == 2


def test_steps_are_timed_at_tiny_sizes_with_an_overlay(
    benchmarks: list[Any], repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = repository / "config" / "gpu_24gb.yaml"
    assert benchmarks[1].main(["--tiny", "--configfile", str(overlay)]) == 0
    _, encoder, joint = capsys.readouterr().out.splitlines()
    assert "a step of 2 images: float32 " in encoder and "; bfloat16 " in encoder
    assert "a step of 2 x 2 examples" in joint and "U-Net weights: cross_attention" in joint


@pytest.mark.gpu
def test_figures_at_the_published_sizes(
    benchmarks: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    with capsys.disabled():
        assert [benchmark.main([]) for benchmark in benchmarks] == [0, 0]
