"""SDXL as the refiner after the unCLIP: image-to-image under constant prompts (section 3.2, A.4).

The paper says "without any text prompt"; the released code uses an empty prompt and MindEye2's
negative prompt, at 768 px. SDXL's size condition is original size 768, crop 0 and target size
1,024, as in MindEye2's code. The constant prompts are encoded once, when the weights are loaded,
and the text encoders are then dropped.
"""

from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor, nn

from brainit.features.generator import Generator
from brainit.features.text_towers import encode_prompts, load_bigg_tower, load_clip_l_tower
from brainit.features.unclip import SDXL, SdxlSize, load_parts

PROMPT = ""
NEGATIVE_PROMPT = (
    "painting, extra fingers, mutated hands, poorly drawn hands, poorly drawn face, deformed, "
    "ugly, blurry, bad anatomy, bad proportions, extra limbs, cloned face, skinny, glitchy, "
    "double torso, extra arms, extra hands, mangled fingers, missing lips, ugly face, "
    "distorted face, extra legs, anime"
)
TARGET_SIZE = 1024

_CLIP_L_PREFIX = "conditioner.embedders.0.transformer.text_model."
_BIGG_PREFIX = "conditioner.embedders.1.model."


class SdxlRefiner(Generator):
    """SDXL under two constant prompts.

    Parameters
    ----------
    unet, vae
        `UNet2DConditionModel` and `AutoencoderKL`.
    image_size
        Side in pixels at which images are refined (released code: 768).
    texts, pooled
        Text tokens and pooled vectors of the prompt and the negative prompt, in this order.
    """

    texts: Tensor
    pooled: Tensor

    def __init__(
        self,
        *,
        unet: nn.Module,
        vae: nn.Module,
        image_size: int,
        texts: Float[Tensor, "2 tokens width"],
        pooled: Float[Tensor, "2 pooled"],
    ) -> None:
        super().__init__(
            unet=unet,
            vae=vae,
            image_size=image_size,
            n_tokens=texts.shape[1],
            token_width=texts.shape[2],
            size_condition=(image_size, image_size, 0, 0, TARGET_SIZE, TARGET_SIZE),
        )
        self.register_buffer("texts", texts, persistent=False)
        self.register_buffer("pooled", pooled, persistent=False)

    def predict_guided_pair(
        self,
        noisy_latents: Float[Tensor, "batch c h w"],
        timesteps: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch c h w"]:
        """Predict noise: the first half of the batch under the prompt, the second the negative."""
        half = len(noisy_latents) // 2
        sizes = self.size_condition.expand(len(noisy_latents), -1)
        added = {"text_embeds": self.pooled.repeat_interleave(half, 0), "time_ids": sizes}
        texts = self.texts.repeat_interleave(half, 0)
        return self._run_unet(noisy_latents, timesteps, texts, {"added_cond_kwargs": added})


def load_sdxl_refiner(
    path: Path,
    published: dict[str, Tensor],
    size: SdxlSize = SDXL,
    texts: tuple[dict[str, int], dict[str, int]] | None = None,
) -> SdxlRefiner:
    """Return the refiner from an SDXL checkpoint in `sgm`'s layout.

    `texts` gives the sizes of the two text encoders (None: SDXL's). Raises `PipelineError` that
    lists missing and unknown parameters.
    """
    tokens, pooled = _encoded_prompts(path, published, *(texts or (None, None)))
    unet, vae = load_parts(path, published, size)
    return SdxlRefiner(unet=unet, vae=vae, image_size=size.image_size, texts=tokens, pooled=pooled)


def _encoded_prompts(
    path: Path,
    published: dict[str, Tensor],
    small: dict[str, int] | None,
    big: dict[str, int] | None,
) -> tuple[Float[Tensor, "2 tokens width"], Float[Tensor, "2 pooled"]]:
    """Encode the constant prompts; the text encoders are gone before the U-Net is in memory."""
    clip_l = load_clip_l_tower(path, _part(published, _CLIP_L_PREFIX), small).eval()
    bigg = load_bigg_tower(path, _part(published, _BIGG_PREFIX), big).eval()
    return encode_prompts(clip_l, bigg, (PROMPT, NEGATIVE_PROMPT))


def _part(published: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in published.items() if n.startswith(prefix)}
