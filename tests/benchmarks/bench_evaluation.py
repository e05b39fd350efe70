"""Share of the metric networks' features in the time of one evaluation, by `score_images` itself.

All of the paper's metric networks at full size with random weights, all scores, 1,000 images of 256
pixels. On a GPU every image passes the networks (`--through 1000`). On a CPU that takes hours: then
`--through` images are timed in the networks, whose time grows with the number of images, and the
other images get random features of the same widths, so that all scores are of 1,000 images.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from brainit.core.compat import import_torchvision
from brainit.core.seeds import torch_generator, use_threads
from brainit.core.settings import Settings, parse_sections
from brainit.evaluation import score, true_features
from brainit.evaluation.metrics.features import pair_distances, tap_features
from brainit.features.lpips import CHANNELS
from brainit.features.published_metrics import OPENAI_CLIP
from brainit.features.registry import find_entry, load_published
from brainit.features.semantic_tokens import build_clip, openclip_config
from brainit.features.weights_file import freeze

N_IMAGES, SIDE, BAR = 1000, 256, 0.95
TORCHVISION = {
    "alexnet": "alexnet",
    "inception_v3": "inception_v3",
    "efficientnet_b1": "efficientnet_b1",
    "swav_resnet50": "resnet50",
    "lpips_alex": "alexnet",
}


def random_network(name: str) -> nn.Module:
    """Return one of the published metric networks with random weights, by its real loader."""
    if name == "clip_vit_l14":
        state = build_clip(openclip_config(OPENAI_CLIP)).state_dict()
    else:
        import_torchvision()
        from torchvision.models import get_model

        options = {"init_weights": False} if name == "inception_v3" else {}
        state = get_model(TORCHVISION[name], weights=None, **options).state_dict()
    if name == "swav_resnet50":
        state = {n: v for n, v in state.items() if not n.startswith("fc.")}
    if name == "lpips_alex":
        state |= {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(CHANNELS)}
    return freeze(load_published(find_entry(name), Path(name), state))


class Clock:
    """Seconds by part, as measured, and features' seconds as they would be of all images."""

    def __init__(self, n_through: int, device: torch.device) -> None:
        self.n_through, self.device = n_through, device
        self.measured: Counter[str] = Counter()
        self.features_s = 0.0

    def timed(self, part: str, call: Callable[[], Any]) -> Any:
        """Call, and add the seconds until its work ended."""
        started = self.now()
        result = call()
        self.measured[part] += self.now() - started
        return result

    def now(self) -> float:
        """Return the CPU's own time, which neighbours do not lengthen; on a GPU the clock's."""
        if self.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def features(self, call: Callable[..., Any], network: nn.Module, *images: Tensor) -> Any:
        """Call with the first images alone; the seconds count for all of them."""
        n_images, few = len(images[0]), [part[: self.n_through] for part in images]
        before = self.measured["networks"]
        size = Settings().evaluation.eval_size
        found = self.timed("networks", lambda: call(network, *few, size, self.device))
        self.features_s += (self.measured["networks"] - before) * n_images / len(few[0])
        return self.timed("filling", lambda: filled(found, n_images))


def filled(found: Any, n_images: int) -> Any:
    """Return features, or distances, with random rows after those that were computed."""
    if isinstance(found, dict):
        return {tap: filled(rows, n_images) for tap, rows in found.items()}
    more = torch.randn(n_images - len(found), *found.shape[1:], dtype=found.dtype)
    return torch.cat([found, more * found.std(correction=0) + found.mean()])


def evaluated(n_images: int, n_through: int, device: torch.device) -> tuple[float, Counter[str]]:
    """Run an evaluation; return the features' seconds for all images, and seconds of the rest."""
    clock = Clock(n_through, device)
    networks = {name: random_network(name).to(device) for name in Settings().features.metrics}
    settings = parse_sections({"run": {"device": device.type}})
    draws = torch_generator(0, "bench_evaluation")
    targets = torch.rand(n_images, 3, SIDE, SIDE, generator=draws)
    recons = (0.6 * targets + 0.4 * torch.rand(targets.shape, generator=draws)).clamp(0, 1)
    clocked = {
        "tap_features": lambda network, images, *_: clock.features(tap_features, network, images),
        "pair_distances": lambda network, first, second, *_: clock.features(
            pair_distances, network, first, second
        ),
        "_pixel_scores": lambda *all_: clock.timed("PixCorr and SSIM", lambda: pixels(*all_)),
        "score_features": lambda *all_: clock.timed("of features", lambda: features(*all_)),
    }
    pixels, features = score._pixel_scores, score.score_features
    started = clock.now()
    true = patch.object(true_features, "tap_features", clocked["tap_features"])
    with patch.multiple(score, **clocked), true:
        scores = score.score_images(recons, targets, networks, settings)
    summary = clock.timed("intervals", lambda: score.summarise(scores, settings))
    assert len(scores.per_image) == n_images and len(summary) == len(scores.per_image.columns)
    clock.measured["else"] = clock.now() - started - sum(clock.measured.values())
    del clock.measured["networks"], clock.measured["filling"]
    return clock.features_s, clock.measured


def main(argv: list[str] | None = None) -> int:
    """Print the share; return 1 where it is under the bar on a CPU, for which the bar is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=N_IMAGES)
    parser.add_argument("--through", type=int, help="images through the networks; all on a GPU")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    n_through = args.through or (args.images if device.type == "cuda" else 4)
    use_threads(args.threads)
    features_s, rest = evaluated(args.images, n_through, device)
    share = features_s / (features_s + sum(rest.values()))
    parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in rest.items())
    how = "measured" if n_through >= args.images else f"from {n_through} images each"
    detail = f"{args.images} images on {device.type}; features {features_s:.0f} s ({how}); {parts}"
    print(f"evaluation: features {share:.1%} of the time (bar {BAR:.0%}) [{detail}]")  # noqa: T201
    return int(share < BAR and device.type == "cpu")


if __name__ == "__main__":
    sys.exit(main())
