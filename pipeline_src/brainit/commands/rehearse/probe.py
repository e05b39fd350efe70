"""Run one step in this process and measure it: time of its parts, memory, the device's waiting.

The step's own `main` runs, with the arguments of its rule. It is watched from outside: torch's
hooks tell the ends of optimiser steps and of the U-Net's passes, and the shared progress display is
replaced by one that also notes the time of each item.

    python -m brainit.commands.rehearse.probe --report FILE [--depth N] -- STEP ARGUMENTS
"""

import argparse
import importlib
import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainit.commands.rehearse.layouts import of_depth
from brainit.commands.rehearse.shallow import at_depth
from brainit.core import progress as shared_progress
from brainit.core.errors import PipelineError
from brainit.core.files import write_text

OPTIMIZER = "optimizer step"
"""Name of the intervals between two optimiser steps."""
_PASS = "pass"
_UNET = "UNet2DConditionModel"

Mark = float | torch.cuda.Event
Moment = tuple[Mark, float]
"""A mark, and the CPU seconds that the process has taken until then."""


class Clock:
    """Spans of time by name: seconds, on a GPU by events, which need no wait for it."""

    def __init__(self) -> None:
        self.is_gpu = torch.cuda.is_available()
        self._spans: list[tuple[str, Moment, Moment]] = []
        self._last_step: Moment | None = None

    def mark(self) -> Moment:
        """Return the present moment; on a GPU, the one when it has done all work so far."""
        if not self.is_gpu:
            return time.perf_counter(), time.process_time()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event, time.process_time()

    def add(self, name: str, start: Moment) -> None:
        """Record a span from `start` to now."""
        self._spans.append((name, start, self.mark()))

    def step_done(self, *_: Any) -> None:
        """Record the span since the optimiser step before."""
        now = self.mark()
        if self._last_step is not None:
            self._spans.append((OPTIMIZER, self._last_step, now))
        self._last_step = now

    def seconds(self) -> dict[str, list[float]]:
        """Return the seconds of each span, by name, in order; waits for a GPU."""
        if self.is_gpu:
            torch.cuda.synchronize()
        return self._by_name(lambda start, end: _elapsed_s(start[0], end[0]))

    def cpu_seconds(self) -> dict[str, list[float]]:
        """Return the CPU seconds of the process within each span."""
        return self._by_name(lambda start, end: end[1] - start[1])

    def _by_name(self, length: Callable[[Moment, Moment], float]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for name, start, end in self._spans:
            found.setdefault(name, []).append(length(start, end))
        return found


def _elapsed_s(start: Mark, end: Mark) -> float:
    if isinstance(start, float) or isinstance(end, float):
        assert isinstance(start, float) and isinstance(end, float)
        return end - start
    return start.elapsed_time(end) / 1e3


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Record optimiser steps, items of the progress display, and the U-Net's passes in the block.

    A pass is named by the display during which it ran: `diffusion pass`, `refining pass`.
    """
    labels: list[str] = []
    starts: list[Moment] = []
    original = shared_progress.progress

    def progress(items: Iterable[Any], label: str, *args: Any, **words: Any) -> Iterator[Any]:
        labels.append(label)
        try:
            for item in original(items, label, *args, **words):
                start = clock.mark()
                yield item
                clock.add(label, start)
        finally:
            labels.remove(label)

    def before(module: nn.Module, _: Any) -> None:
        if type(module).__name__ == _UNET:
            starts.append(clock.mark())

    def after(module: nn.Module, *_: Any) -> None:
        if type(module).__name__ == _UNET:
            clock.add(" ".join([*labels[-1:], _PASS]), starts.pop())

    with ExitStack() as stack:
        for hook in (
            register_optimizer_step_post_hook(clock.step_done),
            register_module_forward_pre_hook(before),
            register_module_forward_hook(after),
        ):
            stack.callback(hook.remove)
        stack.enter_context(_replaced(original, progress))
        yield


@contextmanager
def _replaced(original: Callable[..., Any], other: Callable[..., Any]) -> Iterator[None]:
    """Replace `progress` wherever the package has imported it, and for imports to come."""

    def holders(function: Callable[..., Any]) -> list[Any]:
        loaded = [m for name, m in list(sys.modules.items()) if name.startswith("brainit.")]
        return [module for module in loaded if getattr(module, "progress", None) is function]

    for module in holders(original):
        module.progress = other
    try:
        yield
    finally:
        for module in holders(other):
            module.progress = original


def busy_share(spans: Sequence[tuple[float, float]]) -> float | None:
    """Return the share of time covered by spans, which may overlap, from the first to the last."""
    if not spans:
        return None
    covered, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    whole = end - min(start for start, _ in spans)
    return covered / whole if whole > 0 else None


@contextmanager
def kernels(is_gpu: bool) -> Iterator[list[tuple[float, float]]]:
    """Yield a list that holds, after the block, start and end of all that the GPU did in it."""
    spans: list[tuple[float, float]] = []
    if not is_gpu:
        yield spans
        return
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        yield spans
    for event in profiler.events() or ():
        if event.device_type.name == "CUDA":
            spans.append((event.time_range.start, event.time_range.end))


def measure(step: str, argv: Sequence[str], depth: int | None = None) -> dict[str, Any]:
    """Run the step `step` with the arguments of its rule, and return what was measured.

    `depth` None runs the networks at their published depth. An error of the step is part of the
    answer: its kind and its text.
    """
    clock = Clock()
    fault: dict[str, str] | None = None
    with ExitStack() as stack:
        if depth is not None:
            stack.enter_context(at_depth(of_depth(depth)))
        stack.enter_context(watched(clock))
        busy = stack.enter_context(kernels(clock.is_gpu))
        try:
            importlib.import_module(f"brainit.steps.{step}").main(list(argv))
        except KeyboardInterrupt:
            fault = {"kind": "time", "text": "stopped at the limit of --minutes"}
        except Exception as error:
            fault = fault_of(error)
    return {
        "step": step,
        "seconds": clock.seconds(),
        "cpu_seconds": clock.cpu_seconds(),
        "cpu_s": time.process_time(),
        "host_bytes": peak_host_bytes(),
        "device_bytes": torch.cuda.max_memory_reserved() if clock.is_gpu else 0,
        "device_total_bytes": torch.cuda.mem_get_info()[1] if clock.is_gpu else 0,
        "device": torch.cuda.get_device_name() if clock.is_gpu else "cpu",
        "busy": busy_share(busy),
        "fault": fault,
    }


def peak_host_bytes() -> int:
    """Return the most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fault_of(error: Exception) -> dict[str, str]:
    """Return kind and text of a step's error: `device-memory`, `host-memory` or `failed`."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return {"kind": "device-memory", "text": text.partition("\n")[0]}
    if isinstance(error, PipelineError) and error.code == "out-of-memory":
        return {"kind": "device-memory", "text": str(error)}
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        return {"kind": "host-memory", "text": text.partition("\n")[0]}
    logging.getLogger(__name__).exception("the step failed")
    return {"kind": "failed", "text": text}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the step of the command line and write the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--depth", type=int)
    parser.add_argument("step")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    found = measure(args.step, args.arguments, args.depth)
    write_text(args.report, json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
