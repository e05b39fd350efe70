"""VGG tokens: golden values both ways, and plain loops over positions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from brainit.core.errors import PipelineError
from brainit.core.seeds import torch_generator
from brainit.features.vgg_tokens import VggTokenLayout, maps_to_tokens, tokens_at, tokens_to_maps

DEMO = ((8, 16, 32, 64, 64), (32, 16, 8, 4, 2))


def demo_maps(n_images: int = 2) -> list[Tensor]:
    generator = torch_generator(1, "maps")
    return [
        torch.randn(n_images, channels, side, side, generator=generator)
        for channels, side in zip(*DEMO, strict=True)
    ]


def test_golden_tokens_both_ways(golden_dir: Path) -> None:
    with np.load(golden_dir / "vgg_tokens_small.npz") as file:
        maps = [torch.from_numpy(file[f"map{number}"]) for number in range(1, 6)]
        expected = [torch.from_numpy(file[f"tokens{number}"]) for number in range(1, 6)]
    found = maps_to_tokens(maps)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0, rtol=1e-4)
    layout = VggTokenLayout([m.shape[1] for m in maps], [m.shape[-1] for m in maps])
    for mine, theirs in zip(tokens_to_maps(torch.cat(expected, 1), layout), maps, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_paper_layout_has_7190_tokens_of_512() -> None:
    layout = VggTokenLayout((64, 128, 256, 512, 512), (112, 56, 28, 14, 7))
    assert layout.tokens_per_layer == (3136, 3025, 784, 196, 49)
    assert (layout.n_tokens, layout.width) == (7190, 512)
    assert layout.layer_slices[1] == slice(3136, 6161)


def test_joins_equal_plain_loops_over_positions() -> None:
    """D.2: 2x2 joins without overlap in map 1 and with overlap in map 2, repeated to one width."""
    maps = demo_maps()
    tables = maps_to_tokens(maps)
    layout = VggTokenLayout(*DEMO)
    assert (layout.n_tokens, layout.width) == (565, 64)
    for layer, (stride, count) in enumerate([(2, 16), (1, 15)]):
        for row in range(count):
            for column in range(count):
                top, left = row * stride, column * stride
                values = [
                    maps[layer][1, channel, top + down, left + right]
                    for channel in range(DEMO[0][layer])
                    for down in (0, 1)
                    for right in (0, 1)
                ]
                expected = torch.stack(values * (64 // len(values)))
                assert torch.equal(tables[layer][1, row * count + column], expected)
    for layer in (2, 3, 4):
        side = DEMO[1][layer]
        for row in range(side):
            for column in range(side):
                expected = maps[layer][0, :, row, column].repeat(64 // DEMO[0][layer])
                assert torch.equal(tables[layer][0, row * side + column], expected)


def test_tokens_at_positions_are_those_of_the_tables() -> None:
    maps = demo_maps()
    tables = maps_to_tokens(maps)
    generator = torch_generator(4, "positions")
    positions = [torch.randint(t.shape[1], (len(t), 3), generator=generator) for t in tables]
    for table, position, found in zip(tables, positions, tokens_at(maps, positions), strict=True):
        for image, places in enumerate(position):
            assert torch.equal(found[image], table[image, places])


def test_maps_come_back_from_their_tokens() -> None:
    maps = demo_maps()
    back = tokens_to_maps(torch.cat(maps_to_tokens(maps), 1), VggTokenLayout(*DEMO))
    for mine, theirs in zip(back, maps, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_repeats_and_overlaps_are_averaged() -> None:
    """A pixel is the mean over all token entries that hold it, written as loops."""
    layout = VggTokenLayout(*DEMO)
    tokens = torch.randn(1, 565, 64, generator=torch_generator(2, "tokens"))
    found = tokens_to_maps(tokens, layout)
    total, count = torch.zeros(16, 16, 16), torch.zeros(16, 16, 16)
    for row in range(15):
        for column in range(15):
            token = tokens[0, 256 + row * 15 + column]
            for place, value in enumerate(token):
                channel, down, right = place // 4, place // 2 % 2, place % 2
                total[channel, row + down, column + right] += value
                count[channel, row + down, column + right] += 1
    torch.testing.assert_close(found[1][0], total / count)
    first = tokens[0, 16 * 3 + 5].reshape(2, 32).mean(0)  # position (3, 5) of map 1
    torch.testing.assert_close(found[0][0, :, 6:8, 10:12].flatten(), first)


def test_gradient_flows_back_to_the_maps() -> None:
    maps = [m.double().requires_grad_() for m in demo_maps(1)]
    weights = torch.randn(565, 64, generator=torch_generator(3, "weights")).double()
    (torch.cat(maps_to_tokens(maps), 1)[0] * weights).sum().backward()
    assert maps[1].grad is not None
    corner = weights[256, [0]].sum()  # the corner of channel 0 of map 2 is in one token alone
    torch.testing.assert_close(maps[1].grad[0, 0, 0, 0], corner)


@pytest.mark.parametrize(
    ("channels", "sizes"),
    [
        ((8, 16, 32, 64), (32, 16, 8, 4)),
        ((8, 16, 32, 64, 64), (31, 15, 8, 4, 2)),
        ((8, 16, 32, 64, 64), (2, 1, 1, 1, 1)),
        ((8, 16, 24, 64, 64), (32, 16, 8, 4, 2)),
    ],
)
def test_maps_that_give_no_tokens_are_refused(
    channels: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    with pytest.raises(PipelineError) as error:
        VggTokenLayout(channels, sizes)
    assert error.value.code == "wrong-shape" and "features.vgg" in error.value.fix
    assert str(channels) in error.value.found and str(sizes) in error.value.found


def test_tokens_of_another_network_are_refused() -> None:
    with pytest.raises(PipelineError) as error:
        tokens_to_maps(torch.zeros(1, 564, 64), VggTokenLayout(*DEMO))
    assert error.value.code == "wrong-shape"
    assert "565" in error.value.expected and "564" in error.value.found
    assert "64" in error.value.expected and "features.vgg" in error.value.fix
