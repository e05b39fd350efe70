"""The encoder's hoisted form against the literal one over all voxels of a subject, one thread.

2,000 voxels, 32 images, five layers of 257 tokens at the published widths, on an identity backbone.
The hoisted form's time holds what it computes once for all images.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from brainit.core.seeds import seeded_init, torch_generator
from brainit.core.settings import EncoderSettings
from brainit.models.voxel_encoder import VoxelEncoder

N_VOXELS, N_IMAGES, WIDTH = 2000, 32, 1024
N_ROUNDS, BAR, TOLERANCE = 5, 1.4, 1e-4


class IdentityBackbone(nn.Module):
    """Tokens drawn once, and blocks that do nothing to them."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.n_registers, self.n_tokens, self.layers = WIDTH, 4, 257, (1, 2, 3, 4, 5)
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(5))
        generator = torch_generator(1, "tokens")
        self.tokens = torch.randn(N_IMAGES, 261, WIDTH, generator=generator)

    def embed(self, images: Tensor) -> Tensor:
        """Return the tokens."""
        return self.tokens


def timed(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Return seconds and result."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


@torch.inference_mode()
def main() -> int:
    """Print the ratio; return 1 where it is under the bar or results differ."""
    torch.set_num_threads(1)
    with seeded_init(1, "encoder"):
        encoder = VoxelEncoder(IdentityBackbone(), EncoderSettings(), {"subj01": N_VOXELS}).eval()
        encoder.voxel_embedding.copy_(torch.randn_like(encoder.voxel_embedding) * 0.3)
    images = torch.zeros(N_IMAGES, 3, 4, 4)
    index = torch.arange(N_VOXELS).expand(1, -1)
    literal_s, hoisted_s = [], []

    def literal() -> Tensor:  # per image, as released
        features = encoder.image_features(images)
        rows = [encoder.respond([x[i : i + 1] for x in features], index) for i in range(N_IMAGES)]
        return torch.cat(rows)

    for _ in range(N_ROUNDS):
        seconds, expected = timed(literal)
        literal_s.append(seconds)
        seconds, found = timed(lambda: encoder.predict(images, slice(0, N_VOXELS)))
        hoisted_s.append(seconds)
    ratio, apart = min(literal_s) / min(hoisted_s), float((found - expected).abs().max())
    detail = f"{min(literal_s):.2f} s, {min(hoisted_s):.2f} s; {apart:.1e} apart"
    detail += f" at deviation {float(expected.std()):.2f}"
    print(f"encoder: ratio {ratio:.2f} (bar {BAR}) [{detail}]")  # noqa: T201
    return int(ratio < BAR or apart > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
