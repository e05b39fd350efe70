"""Train the demo's generator: an AutoencoderKL, then a U-Net conditioned on semantic tokens.

Both are models of `diffusers`. The U-Net learns to predict the noise in the VAE's latents; one
condition in ten is replaced by the unconditional tokens, for classifier-free guidance. The later
parts of its training blur most conditions, as published unCLIP models add noise to theirs: a brain
decoder predicts such blurred conditions.
"""

import itertools
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from brainit.core.progress import progress
from brainit.core.seeds import seeded_init, torch_generator
from brainit.demo.backbones import Curve, Recipe, optimise
from brainit.demo.scenes import SceneSet, as_images
from brainit.features.generator import N_TRAIN_STEPS, Generator, build_generator
from brainit.features.semantic_tokens import SemanticTokens

UNCONDITIONAL_SHARE = 0.1
EMA_DECAY = 0.999
KL_WEIGHT = 1.0e-6
EDGE_WEIGHT = 0.5
SQUARE_WEIGHT = 5.0
FIRST_LOG_VARIANCE = -6.0
N_COMPONENTS = 256
BLURRED_SHARE = 0.7
NOISE_RANGE = (0.01, 3.0)

ARCHITECTURE: dict[str, Any] = {
    "kind": "generator",
    "image_size": 64,
    "n_tokens": 64,
    "token_width": 96,
    "n_frequencies": 3,
    "patch": 4,
    "vae": {
        "in_channels": 48,
        "out_channels": 48,
        "block_out_channels": [64],
        "down_block_types": ["DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D"],
        "latent_channels": 6,
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "sample_size": 16,
        "scaling_factor": 1.0,
        "mid_block_add_attention": False,
    },
    "unet": {
        "sample_size": 16,
        "in_channels": 18,  # 6 of the latents, 12 of the position
        "out_channels": 6,
        "block_out_channels": [48, 80, 96],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "mid_block_type": None,
        "cross_attention_dim": 108,
        "attention_head_dim": 4,
        "norm_num_groups": 16,
    },
}


def build_untrained(seed: int) -> Generator:
    """Return the untrained generator, initialised from `seed`.

    The posterior starts narrow, because noise as wide as the latents makes channels die at once.
    """
    with seeded_init(seed, "demo_unclip"):
        generator = build_generator(ARCHITECTURE)
    vae: Any = generator.vae
    with torch.no_grad():
        vae.quant_conv.bias[vae.config.latent_channels :] = FIRST_LOG_VARIANCE
    return generator


def train_vae(generator: Generator, scenes: SceneSet, recipe: Recipe) -> Curve:
    """Train the VAE on L1 and L2 of pixels, L1 of pixel differences and a small KL term.

    Then set the scaling factor so that the latents of scenes have unit variance.
    """
    vae: Any = generator.vae
    draws = torch_generator(recipe.seed, "vae_posterior")

    def loss_of(index: Tensor) -> Tensor:
        images = as_images(scenes.images[index.numpy()]) * 2 - 1
        posterior = vae.encode(F.pixel_unshuffle(images, generator.patch)).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=draws)
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        error = F.pixel_shuffle(decoded, generator.patch) - images
        pixels = error.abs().mean() + SQUARE_WEIGHT * error.square().mean()
        return pixels + EDGE_WEIGHT * _differences(error) + KL_WEIGHT * posterior.kl().mean()

    vae.train()
    curve = optimise(list(vae.parameters()), loss_of, recipe, len(scenes), "demo_unclip_vae")
    vae.eval()
    with torch.no_grad():
        generator.scaling_factor = 1.0
        std = generator.encode(as_images(scenes.images[:512])).std().item()
    vae.register_to_config(scaling_factor=1.0 / std)
    generator.scaling_factor = 1.0 / std
    return curve


def _differences(x: Float[Tensor, "batch c h w"]) -> Float[Tensor, ""]:
    across = (x[..., 1:] - x[..., :-1]).abs().mean()
    down = (x[..., 1:, :] - x[..., :-1, :]).abs().mean()
    return across + down


def cache_inputs(
    generator: Generator, network: SemanticTokens, scenes: SceneSet, batch: int = 128
) -> tuple[Tensor, Tensor]:
    """Return the latents and the semantic tokens (float16) of all scenes."""
    latents, tokens = [], []
    with torch.no_grad():
        for start in progress(range(0, len(scenes), batch), "latents and tokens"):
            images = as_images(scenes.images[start : start + batch])
            latents.append(generator.encode(images).half())
            tokens.append(network(images).half())
    return torch.cat(latents), torch.cat(tokens)


class TokenBlur:
    """Blur tokens as a linear decoder of noisy data does: by shrinking principal components.

    Component k, of variance v_k, is measured with noise of variance q v_1^(1-g) v_k^g and replaced
    by its posterior mean. Each example draws its q, log-uniform over `NOISE_RANGE`, and its g,
    uniform in [0, 1]: from equal noise in all components (g = 0), which hides fine detail, to noise
    in proportion to each component (g = 1). Fitted on the first 4,096 of `tokens`.
    """

    def __init__(self, tokens: Float[Tensor, "scenes tokens width"]) -> None:
        flat = tokens[:4096].flatten(1).float()
        self.mean = flat.mean(0)
        _, singular, basis = torch.linalg.svd(flat - self.mean, full_matrices=False)
        self.basis = basis[:N_COMPONENTS]
        self.variance = singular[:N_COMPONENTS].square() / len(flat)

    def blur(
        self, tokens: Float[Tensor, "batch tokens width"], draws: torch.Generator
    ) -> Float[Tensor, "batch tokens width"]:
        """Return the tokens, each example blurred with its own q and g."""
        low, high = (math.log(bound) for bound in NOISE_RANGE)
        share = torch.exp(low + (high - low) * torch.rand(len(tokens), 1, generator=draws))
        evenness = torch.rand(len(tokens), 1, generator=draws)
        relative = self.variance / self.variance[0]
        noise_variance = self.variance[0] * share * relative**evenness
        scores = (tokens.flatten(1) - self.mean) @ self.basis.T
        measured = scores + noise_variance.sqrt() * torch.randn(scores.shape, generator=draws)
        posterior_mean = measured * self.variance / (self.variance + noise_variance)
        return (self.mean + posterior_mean @ self.basis).view_as(tokens)


def train_unet(
    generator: Generator,
    latents: Tensor,
    tokens: Tensor,
    recipe: Recipe,
    part: str = "unet",
    blur: TokenBlur | None = None,
) -> tuple[dict[str, Tensor], Curve]:
    """Train the U-Net to predict noise; return the moving average of its weights and the curve.

    `part` names the random streams. `blur` blurs the share `BLURRED_SHARE` of the conditions.
    """
    draws = torch_generator(recipe.seed, f"{part}_noise")
    unconditional = generator.unconditional_tokens()
    unet: Any = generator.unet
    average = {k: v.clone() for k, v in unet.state_dict().items()}
    unet.to(memory_format=torch.channels_last)  # a fifth faster on CPUs
    n_done = itertools.count()

    def loss_of(index: Tensor) -> Tensor:
        _follow(average, unet, next(n_done))
        clean, condition = latents[index].float(), tokens[index].float()
        if blur is not None:
            chosen = torch.rand(len(index), 1, 1, generator=draws) < BLURRED_SHARE
            condition = torch.where(chosen, blur.blur(condition, draws), condition)
        noise = torch.randn(clean.shape, generator=draws)
        timesteps = torch.randint(N_TRAIN_STEPS, (len(index),), generator=draws)
        dropped = torch.rand(len(index), 1, 1, generator=draws) < UNCONDITIONAL_SHARE
        condition = torch.where(dropped, unconditional, condition)
        noisy = generator.add_noise(clean, noise, timesteps)
        return F.mse_loss(generator.predict_noise(noisy, timesteps, condition), noise)

    unet.train()
    parameters = list(unet.parameters())
    curve = optimise(parameters, loss_of, recipe, len(latents), f"demo_unclip_{part}")
    _follow(average, unet, next(n_done))
    return average, curve


@torch.no_grad()
def _follow(average: dict[str, Tensor], network: nn.Module, n_done: int) -> None:
    """Update the moving average of the weights; its decay rises to `EMA_DECAY` with the steps."""
    decay = min(EMA_DECAY, (1 + n_done) / (10 + n_done))
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1 - decay)
