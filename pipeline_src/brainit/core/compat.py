"""Make torchvision importable beside a CPU build of torch.

The package index has torchvision only as a CUDA build, whose compiled operators do not load with a
CPU torch: `import torchvision`, and with it timm, open_clip and diffusers' models, then fails with
"operator torchvision::nms does not exist". Declaring the two operators is enough, for none of them
is called here. Call `import_torchvision` before importing any of those libraries; it takes seconds,
so only what needs them calls it.
"""

import importlib
import sys
import warnings
from functools import cache

import torch

_LIBRARY: "torch.library.Library | None" = None


@cache
def import_torchvision() -> None:
    """Import torchvision, declaring its two operators first only where they are missing."""
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
