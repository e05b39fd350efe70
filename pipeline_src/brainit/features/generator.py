"""The unCLIP generator: a U-Net conditioned on semantic tokens, in a VAE's latents (section 3.2).

The paper uses MindEye2's SDXL unCLIP. Any generator must accept tokens of shape (n_tokens,
token_width) and start from a latent. Noise schedule: SDXL's scaled-linear one of 1,000 steps, noise
prediction.

Differs from the paper: the demo's U-Net gets the position of each latent and each token (sines and
cosines of its coordinates, as extra channels), so that a short training learns which token belongs
where; its VAE takes an image as 4 x 4 pixel patches (48 channels) instead of convolving pixels.
Differs from the released code: latents are the mode of the VAE's posterior, where that draws from
it (the draw's deviation is 3 % of the latents' in the demo's VAE), in stage 2, start and refiner.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.compat import diffusers_models
from brainit.core.seeds import torch_generator
from brainit.data.images import resize_images

N_TRAIN_STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012


def cumulative_alphas() -> Float[Tensor, "steps"]:
    """Return the product of (1 - beta) up to each of the 1,000 steps, float64.

    beta_t = (sqrt(start) + t / 999 (sqrt(end) - sqrt(start))) ** 2, the scaled-linear schedule.
    """
    roots = torch.linspace(BETA_START**0.5, BETA_END**0.5, N_TRAIN_STEPS, dtype=torch.float64)
    return torch.cumprod(1 - roots**2, dim=0)


def position_channels(side: int, n_frequencies: int) -> Float[Tensor, "channels side side"]:
    """Return sin and cos of pi 2**f u at pixel centres, for u = x, y and f < `n_frequencies`."""
    centres = (torch.arange(side) + 0.5) / side
    down, across = torch.meshgrid(centres, centres, indexing="ij")
    angles = [math.pi * 2**f * axis for f in range(n_frequencies) for axis in (across, down)]
    waves = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
    return torch.stack(waves) if waves else torch.zeros(0, side, side)


class Generator(nn.Module):
    """U-Net and VAE of `diffusers`; images are in [0, 1].

    Parameters
    ----------
    unet, vae
        `UNet2DConditionModel` and `AutoencoderKL`.
    image_size
        Side in pixels of the generated images (paper: 256).
    n_tokens, token_width
        Shape of the conditioning (paper: 256 x 1664).
    n_frequencies
        Frequencies of the position channels added to latents and tokens, 4 channels each (0: none).
    patch
        Side in pixels of the patches whose pixels are the VAE's channels (1: plain images).
    size_condition
        SDXL's condition (height, width, top, left) in pixels for the U-Net; () for none.
    """

    _alphas_cumprod: Tensor
    latent_position: Tensor
    token_position: Tensor
    size_condition: Tensor

    def __init__(
        self,
        *,
        unet: nn.Module,
        vae: nn.Module,
        image_size: int,
        n_tokens: int,
        token_width: int,
        n_frequencies: int = 0,
        patch: int = 1,
        size_condition: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.unet, self.vae = unet, vae
        self.image_size, self.n_tokens, self.token_width = image_size, n_tokens, token_width
        config: Any = vae.config
        self.patch = patch
        factor = patch * 2 ** (len(config.block_out_channels) - 1)
        side = image_size // factor
        self.latent_shape = (int(config.latent_channels), side, side)
        self.scaling_factor = float(config.scaling_factor)
        self.register_buffer("_alphas_cumprod", cumulative_alphas().float(), persistent=False)
        latent_position = position_channels(side, n_frequencies)
        token_position = position_channels(math.isqrt(n_tokens), n_frequencies).flatten(1).T
        self.register_buffer("latent_position", latent_position, persistent=False)
        self.register_buffer("token_position", token_position.contiguous(), persistent=False)
        sizes = torch.tensor(size_condition, dtype=torch.float32)
        self.register_buffer("size_condition", sizes, persistent=False)

    @property
    def alphas_cumprod(self) -> Float[Tensor, "steps"]:
        """The share of signal variance at each training step; `isinstance` sees no buffers."""
        return self._alphas_cumprod

    def use_precision(self, dtype: torch.dtype) -> None:
        """Convert the U-Net to `dtype`; the VAE, which overflows float16, stays float32."""
        nn.Module.to(self.unet, dtype)  # diffusers' own `to` warns about layers kept in float32

    def unconditional_tokens(self, seed: int = 0) -> Float[Tensor, "1 tokens width"]:
        """Return Gaussian tokens that mean 'no condition', the same at every call with `seed`.

        For `recon.unconditional_tokens` fixed; MindEye2 and the released code draw such tokens anew
        for each image.
        """
        generator = torch_generator(seed, "unconditional_tokens")
        tokens = torch.randn(1, self.n_tokens, self.token_width, generator=generator)
        return tokens.to(self.alphas_cumprod.device)

    def encode(
        self, images: Float[Tensor, "batch rgb height width"]
    ) -> Float[Tensor, "batch latent_channels latent_height latent_width"]:
        """Return the mode of the VAE's posterior times the scaling factor, for images in [0, 1]."""
        vae: Any = self.vae
        x = resize_images(images, self.image_size) * 2 - 1
        return vae.encode(F.pixel_unshuffle(x, self.patch)).latent_dist.mode() * self.scaling_factor

    def decode(
        self, latents: Float[Tensor, "batch latent_channels latent_height latent_width"]
    ) -> Float[Tensor, "batch rgb height width"]:
        """Return images in [0, 1] (clipped) for scaled latents."""
        vae: Any = self.vae
        decoded = F.pixel_shuffle(vae.decode(latents / self.scaling_factor).sample, self.patch)
        return (decoded / 2 + 0.5).clamp(0, 1)

    def add_noise(
        self,
        latents: Float[Tensor, "batch c h w"],
        noise: Float[Tensor, "batch c h w"],
        timesteps: Int[Tensor, "batch"],
    ) -> Float[Tensor, "batch c h w"]:
        """Return sqrt(alpha_t) latents + sqrt(1 - alpha_t) noise."""
        alpha = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def predict_noise(
        self,
        noisy_latents: Float[Tensor, "batch c h w"],
        timesteps: Int[Tensor, "batch"],
        tokens: Float[Tensor, "batch tokens width"],
    ) -> Float[Tensor, "batch c h w"]:
        """Return the U-Net's prediction of the noise."""
        batch = len(noisy_latents)
        if self.latent_position.numel():
            positions = self.latent_position.expand(batch, -1, -1, -1)
            noisy_latents = torch.cat([noisy_latents, positions], dim=1)
            tokens = torch.cat([tokens, self.token_position.expand(batch, -1, -1)], dim=2)
        options: dict[str, Any] = {}
        if self.size_condition.numel():  # no pooled text: an empty vector
            sizes = self.size_condition.expand(batch, -1)
            options = {"added_cond_kwargs": {"text_embeds": tokens[:, 0, :0], "time_ids": sizes}}
        return self._run_unet(noisy_latents, timesteps, tokens, options)

    def _run_unet(
        self, noisy_latents: Tensor, timesteps: Tensor, tokens: Tensor, options: dict[str, Any]
    ) -> Tensor:
        """Run the U-Net in the dtype of its weights; return its output in that of the latents."""
        unet: Any = self.unet
        dtype = next(unet.parameters()).dtype
        predicted = unet(
            noisy_latents.to(dtype), timesteps, encoder_hidden_states=tokens.to(dtype), **options
        ).sample
        return predicted.to(noisy_latents.dtype)


def build_generator(architecture: dict[str, Any]) -> Generator:
    """Return an untrained generator of the given architecture (`unet`, `vae`, sizes)."""
    unet_class, vae_class = diffusers_models()
    return Generator(
        unet=unet_class(**architecture["unet"]),
        vae=vae_class(**architecture["vae"]),
        image_size=architecture["image_size"],
        n_tokens=architecture["n_tokens"],
        token_width=architecture["token_width"],
        n_frequencies=architecture.get("n_frequencies", 0),
        patch=architecture.get("patch", 1),
    )
