"""Make torchvision importable beside a CPU build of torch.

PyPI has torchvision only as a CUDA build, whose compiled operators do not load with a CPU torch:
`import torchvision`, and with it timm, open_clip and the models of diffusers, then fails with
"operator torchvision::nms does not exist". Declaring the two operators is enough, because this
package never calls them. Call `import_torchvision` before importing any of those libraries. It
takes seconds, so call it where they are used, not at the top of a module.
"""

import importlib
import sys
import warnings
from functools import cache

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
