"""SDXL's U-Net and VAE in plain functions that read parameters by their `sgm` names: an oracle."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

GROUPS = 4


class PlainUnet:
    """The U-Net of `sgm` as functions of one state dict (without `model.diffusion_model.`)."""

    def __init__(self, state: dict[str, Tensor], head_width: int, first: int, size: int) -> None:
        self.state, self.head_width = state, head_width
        self.first_width, self.size_width = first, size

    def has(self, name: str) -> bool:
        return any(key.startswith(f"{name}.") for key in self.state)

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], stride, weight.shape[-1] // 2)

    def group_norm(self, x: Tensor, name: str, eps: float = 1e-5) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.group_norm(x, GROUPS, weight, bias, eps)

    def layer_norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.layer_norm(x, (x.shape[-1],), weight, bias)

    def residual(self, x: Tensor, emb: Tensor, name: str) -> Tensor:
        h = self.conv(F.silu(self.group_norm(x, f"{name}.in_layers.0")), f"{name}.in_layers.2")
        h = h + self.linear(F.silu(emb), f"{name}.emb_layers.1")[:, :, None, None]
        h = self.conv(F.silu(self.group_norm(h, f"{name}.out_layers.0")), f"{name}.out_layers.3")
        shortcut = f"{name}.skip_connection"
        return h + (self.conv(x, shortcut) if self.has(shortcut) else x)

    def attention(self, x: Tensor, context: Tensor, name: str) -> Tensor:
        n_heads = x.shape[-1] // self.head_width
        q = self.linear(x, f"{name}.to_q").unflatten(-1, (n_heads, -1))
        k = self.linear(context, f"{name}.to_k").unflatten(-1, (n_heads, -1))
        v = self.linear(context, f"{name}.to_v").unflatten(-1, (n_heads, -1))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / self.head_width**0.5
        mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2)
        return self.linear(mixed, f"{name}.to_out.0")

    def transformer(self, x: Tensor, context: Tensor, name: str) -> Tensor:
        height, width = x.shape[2:]
        h = self.group_norm(x, f"{name}.norm", 1e-6).flatten(2).transpose(1, 2)
        h = self.linear(h, f"{name}.proj_in")
        number = 0
        while self.has(block := f"{name}.transformer_blocks.{number}"):
            y = self.layer_norm(h, f"{block}.norm1")
            h = h + self.attention(y, y, f"{block}.attn1")
            h = h + self.attention(self.layer_norm(h, f"{block}.norm2"), context, f"{block}.attn2")
            value, gate = self.linear(
                self.layer_norm(h, f"{block}.norm3"), f"{block}.ff.net.0.proj"
            ).chunk(2, dim=-1)
            h = h + self.linear(value * F.gelu(gate), f"{block}.ff.net.2")
            number += 1
        h = self.linear(h, f"{name}.proj_out").transpose(1, 2).unflatten(2, (height, width))
        return x + h

    def block(self, h: Tensor, emb: Tensor, context: Tensor, name: str) -> Tensor:
        """Apply the members 0, 1, 2 of a block, whatever each is."""
        for place in range(3):
            member = f"{name}.{place}"
            if self.has(f"{member}.in_layers"):
                h = self.residual(h, emb, member)
            elif self.has(f"{member}.transformer_blocks"):
                h = self.transformer(h, context, member)
            elif self.has(f"{member}.op"):
                h = self.conv(h, f"{member}.op", stride=2)
            elif self.has(f"{member}.conv"):
                h = self.conv(F.interpolate(h, scale_factor=2.0), f"{member}.conv")
            elif self.has(member):
                h = self.conv(h, member)
        return h

    def __call__(
        self,
        x: Tensor,
        steps: Tensor,
        context: Tensor,
        sizes: Tensor,
        pooled: Tensor | None = None,
    ) -> Tensor:
        emb = self.linear(waves(steps, self.first_width), "time_embed.0")
        emb = self.linear(F.silu(emb), "time_embed.2")
        vector = waves(sizes.flatten(), self.size_width).view(len(sizes), -1)
        vector = vector if pooled is None else torch.cat([pooled, vector], dim=1)
        label = self.linear(vector, "label_emb.0.0")
        emb = emb + self.linear(F.silu(label), "label_emb.0.2")
        h, kept, number = x, [], 0
        while self.has(name := f"input_blocks.{number}"):
            h = self.block(h, emb, context, name)
            kept.append(h)
            number += 1
        h = self.block(h, emb, context, "middle_block")
        number = 0
        while self.has(name := f"output_blocks.{number}"):
            h = self.block(torch.cat([h, kept.pop()], dim=1), emb, context, name)
            number += 1
        assert not kept
        return self.conv(F.silu(self.group_norm(h, "out.0")), "out.2")


def waves(numbers: Tensor, width: int) -> Tensor:
    """Return cosines, then sines, of each number at `width` / 2 frequencies from 1 to 1/10000."""
    half = width // 2
    frequencies = torch.tensor([math.exp(-math.log(10000) * i / half) for i in range(half)])
    angles = numbers.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class PlainVae(PlainUnet):
    """The VAE of `sgm` as functions of one state dict (without `first_stage_model.`)."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__(state, 1, 1, 1)

    def resnet(self, x: Tensor, name: str) -> Tensor:
        h = self.conv(F.silu(self.group_norm(x, f"{name}.norm1", 1e-6)), f"{name}.conv1")
        h = self.conv(F.silu(self.group_norm(h, f"{name}.norm2", 1e-6)), f"{name}.conv2")
        shortcut = f"{name}.nin_shortcut"
        return h + (self.conv(x, shortcut) if self.has(shortcut) else x)

    def middle(self, h: Tensor, name: str) -> Tensor:
        h = self.resnet(h, f"{name}.block_1")
        y = self.group_norm(h, f"{name}.attn_1.norm", 1e-6)
        q, k, v = (self.conv(y, f"{name}.attn_1.{part}").flatten(2) for part in "qkv")
        scores = torch.einsum("bcq,bck->bqk", q, k) / q.shape[1] ** 0.5
        mixed = torch.einsum("bqk,bck->bcq", scores.softmax(-1), v).view_as(h)
        h = h + self.conv(mixed, f"{name}.attn_1.proj_out")
        return self.resnet(h, f"{name}.block_2")

    def end(self, h: Tensor, name: str) -> Tensor:
        return self.conv(F.silu(self.group_norm(h, f"{name}.norm_out", 1e-6)), f"{name}.conv_out")

    def encode(self, images: Tensor) -> Tensor:
        """Return the mean of the latents of images in [-1, 1]."""
        h, level = self.conv(images, "encoder.conv_in"), 0
        while self.has(name := f"encoder.down.{level}"):
            for block in range(2):
                h = self.resnet(h, f"{name}.block.{block}")
            if self.has(f"{name}.downsample"):
                down = f"{name}.downsample.conv"
                weight, bias = self.state[f"{down}.weight"], self.state[f"{down}.bias"]
                h = F.conv2d(F.pad(h, (0, 1, 0, 1)), weight, bias, stride=2)
            level += 1
        h = self.end(self.middle(h, "encoder.mid"), "encoder")
        return self.conv(h, "quant_conv").chunk(2, dim=1)[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Return images in about [-1, 1]."""
        h = self.conv(self.conv(latents, "post_quant_conv"), "decoder.conv_in")
        h = self.middle(h, "decoder.mid")
        n_levels = len({key.split(".")[2] for key in self.state if key.startswith("decoder.up.")})
        for level in reversed(range(n_levels)):
            for block in range(3):
                h = self.resnet(h, f"decoder.up.{level}.block.{block}")
            if self.has(name := f"decoder.up.{level}.upsample"):
                h = self.conv(F.interpolate(h, scale_factor=2.0), f"{name}.conv")
        return self.end(h, "decoder")
