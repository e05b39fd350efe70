"""SDXL's two text encoders, for the refiner's constant prompts (section 3.2).

CLIP ViT-L's text tower (transformers' parameter names) and OpenCLIP ViT-bigG's (open_clip's names),
both built of open_clip's blocks. SDXL concatenates both towers' tokens before their last block,
without the final norm, and uses the pooled output of the second tower.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from brainit.core.compat import import_torchvision
from brainit.features.semantic_tokens import build_clip
from brainit.features.weights_file import REFETCH, load_state, renamed

CLIP_L_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 768, "heads": 12, "layers": 12}
BIGG_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 1280, "heads": 20, "layers": 32}
_END = 49407
_NO_IMAGES = {"image_size": 2, "layers": 1, "width": 64, "head_width": 64, "patch_size": 1}

_CLIP_L_NAMES = (
    (r"embeddings\.token_embedding\.weight", "token_embedding.weight"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"final_layer_norm\.(\w+)", r"ln_final.\1"),
    (r"encoder\.layers\.(\d+)\.layer_norm([12])\.(\w+)", r"transformer.resblocks.\1.ln_\2.\3"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1\.(\w+)", r"transformer.resblocks.\1.mlp.c_fc.\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2\.(\w+)", r"transformer.resblocks.\1.mlp.c_proj.\2"),
    (
        r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)",
        r"transformer.resblocks.\1.attn.out_proj.\2",
    ),
)


class TextTower(nn.Module):
    """The text half of a CLIP model: tokens before the last block, and the pooled output."""

    def __init__(self, clip: nn.Module, has_projection: bool) -> None:
        super().__init__()
        source: Any = clip
        self.token_embedding = source.token_embedding
        self.positional_embedding = source.positional_embedding
        self.transformer = source.transformer
        self.ln_final = source.ln_final
        self.text_projection = source.text_projection if has_projection else None

    def forward(
        self, tokens: Int[Tensor, "prompts tokens"]
    ) -> tuple[Float[Tensor, "prompts tokens width"], Float[Tensor, "prompts pooled"]]:
        """Return the tokens before the last block and the projected output of the end token."""
        x = self.token_embedding(tokens) + self.positional_embedding
        n_tokens = tokens.shape[1]
        mask = torch.full((n_tokens, n_tokens), float("-inf")).triu(1)  # no token sees a later one
        blocks: Any = self.transformer.resblocks
        for block in blocks[:-1]:
            x = block(x, attn_mask=mask)
        last = self.ln_final(blocks[-1](x, attn_mask=mask))
        pooled = last[torch.arange(len(tokens)), tokens.argmax(dim=1)]
        return x, pooled if self.text_projection is None else pooled @ self.text_projection


def build_tower(text: dict[str, int], *, quick_gelu: bool, has_projection: bool) -> TextTower:
    """Return an untrained text tower on `meta`."""
    architecture = {
        "embed_dim": text["width"],
        "vision_cfg": _NO_IMAGES,
        "text_cfg": text,
        "quick_gelu": quick_gelu,
    }
    with torch.device("meta"):
        return TextTower(build_clip(architecture), has_projection)


def load_clip_l_tower(
    path: Path, published: dict[str, Tensor], text: dict[str, int] | None = None
) -> TextTower:
    """Return CLIP ViT-L's text tower from transformers' names (without `text_model.`).

    Raises `PipelineError` that lists missing and unknown parameters.
    """
    tower = build_tower(text or CLIP_L_TEXT, quick_gelu=True, has_projection=False)
    load_state(path, tower, clip_l_state(published), assign=True, fix=REFETCH)
    return tower


def clip_l_state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename transformers' CLIP text parameters to open_clip's, which joins query, key, value."""
    state: dict[str, Tensor] = {}
    for name, value in published.items():
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(\w+)", name)
        if not match:
            state[renamed(name, _CLIP_L_NAMES)] = value.float()
        elif match[2] == "q":
            names = [name.replace("q_proj", f"{part}_proj") for part in "qkv"]
            if all(part in published for part in names):
                joined = f"transformer.resblocks.{match[1]}.attn.in_proj_{match[3]}"
                state[joined] = torch.cat([published[part] for part in names]).float()
    state.pop("embeddings.position_ids", None)  # 0, 1, 2, ...
    return state


def load_bigg_tower(
    path: Path, published: dict[str, Tensor], text: dict[str, int] | None = None
) -> TextTower:
    """Return OpenCLIP ViT-bigG's text tower from open_clip's names.

    Raises `PipelineError` that lists missing and unknown parameters.
    """
    tower = build_tower(text or BIGG_TEXT, quick_gelu=False, has_projection=True)
    state = {n: v.float() for n, v in published.items() if n != "logit_scale"}
    load_state(path, tower, state, assign=True, fix=REFETCH)
    return tower


def tokenise(prompts: Sequence[str], pad_with_end: bool) -> Int[Tensor, "prompts 77"]:
    """Return CLIP's 77 tokens of each prompt.

    Padding after the end token is 0 (open_clip), or the end token (transformers' ViT-L).
    """
    import_torchvision()
    from open_clip import SimpleTokenizer

    tokens: Tensor = SimpleTokenizer()(list(prompts), context_length=77)
    if pad_with_end:
        is_past = torch.arange(77) > tokens.argmax(dim=1, keepdim=True)
        tokens = tokens.masked_fill(is_past, _END)
    return tokens


@torch.no_grad()
def encode_prompts(
    clip_l: TextTower, bigg: TextTower, prompts: Sequence[str]
) -> tuple[Float[Tensor, "prompts 77 width"], Float[Tensor, "prompts pooled"]]:
    """Return SDXL's text tokens and pooled vector for each prompt."""
    first, _ = clip_l(tokenise(prompts, pad_with_end=True))
    second, pooled = bigg(tokenise(prompts, pad_with_end=False))
    return torch.cat([first, second], dim=-1), pooled
