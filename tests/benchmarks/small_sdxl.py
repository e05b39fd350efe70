"""A small size of SDXL's structure, for tests of U-Nets and VAEs on a CPU."""

from brainit.features.unclip import SdxlSize

SMALL_SDXL = SdxlSize(
    image_size=32,
    channels=(8, 16, 32),
    transformers=(1, 1, 1),
    head_width=8,
    token_width=12,
    size_width=4,
    vae_channels=(4, 4, 4, 4),
    norm_groups=4,
)
