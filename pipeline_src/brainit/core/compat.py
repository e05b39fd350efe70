"""Make torchvision importable beside a CPU build of torch, and start diffusers in a second.

PyPI has torchvision only as a CUDA build, whose compiled operators do not load with a CPU torch:
`import torchvision`, and with it timm, open_clip and the models of diffusers, then fails with
"operator torchvision::nms does not exist". Declaring the two operators is enough, because this
package never calls them. Call `import_torchvision` before importing any of those libraries. It
takes seconds, so call it where they are used, not at the top of a module.

The U-Net and VAE of diffusers need neither torchvision nor SciPy nor torch's compiler, which
diffusers imports where it finds them: 2.5 of 3.6 CPU seconds in every job that makes images.
"""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

_LIBRARY: "torch.library.Library | None" = None


@cache
def import_torchvision() -> None:
    """Import torchvision; declare its two compiled operators first if they are missing."""
    global _LIBRARY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if torch.version.cuda is not None:
            return
        try:
            importlib.import_module("torchvision")
            return
        except RuntimeError:
            pass
        for name in [n for n in list(sys.modules) if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _LIBRARY = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for op in ("nms", "qnms"):
            schema = f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            _LIBRARY.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")


_UNUSED_BY_MODELS = ("torchvision", "scipy", "torch._dynamo")


@cache
def diffusers_models() -> tuple[Any, Any]:
    """Return the classes `UNet2DConditionModel` and `AutoencoderKL` of diffusers.

    In a process that has not imported diffusers before, it is imported without the libraries that
    they do not use, and does without these libraries from then on.
    """
    is_first = "diffusers" not in sys.modules
    if not is_first:
        import_torchvision()
    hidden = _UNUSED_BY_MODELS if is_first else ()
    with warnings.catch_warnings(), _hidden(hidden), _compiler_marks_nothing():
        warnings.simplefilter("ignore")
        from diffusers import AutoencoderKL, UNet2DConditionModel
    return UNet2DConditionModel, AutoencoderKL


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Let modules that are not imported yet seem to be missing."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _compiler_marks_nothing() -> Iterator[None]:
    """Let `torch.compiler.disable`, a mark for functions never to compile, import no compiler."""
    disable: Any = torch.compiler.disable

    def unmarked(fn: Any = None, *_: Any, **__: Any) -> Any:
        return (lambda function: function) if fn is None else fn

    torch.compiler.disable = unmarked
    try:
        yield
    finally:
        torch.compiler.disable = disable
