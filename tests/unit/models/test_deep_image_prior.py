import pytest
import torch
from tests.benchmarks import plain_skip_net
from tests.refusals import refused

from brainit.core.seeds import torch_generator
from brainit.core.settings import DipSettings
from brainit.models.deep_image_prior import SkipNetStack, reflect_one, resize

SETTINGS = DipSettings(size=16, input_depth=5, width=6, n_scales=2, skip_channels=2)


def make_stack(ids: list[int], settings: DipSettings = SETTINGS) -> SkipNetStack:
    return SkipNetStack([torch_generator(3, "net", i) for i in ids], settings).double()


def jitter(stack: SkipNetStack) -> None:
    """Move norms off their start, so that a wrong one shows."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in stack.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += 0.1 * noise


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_stack_equals_one_plain_network_per_image(n_scales):
    settings = SETTINGS.model_copy(update={"n_scales": n_scales})
    stack = make_stack([4, 8, 15], settings)
    jitter(stack)
    noise = torch.rand(3, 5, 16, 16, dtype=torch.float64, generator=torch_generator(0, "x"))
    wanted = torch.rand(3, 3, 16, 16, dtype=torch.float64, generator=torch_generator(0, "y"))
    output = stack(noise)
    ((output - wanted) ** 2).mean((1, 2, 3)).sum().backward()
    for net in range(3):
        single = plain_skip_net.PlainSkipNet(5, 6, 2, n_scales).double()
        plain_skip_net.copy_network(single, stack, net)
        alone = single(noise[net : net + 1])
        assert (alone[0] - output[net]).abs().max() < 1e-13
        ((alone[0] - wanted[net]) ** 2).mean().backward()
        check_gradients(single.scales, stack.scales, net)
        assert (single.head.weight.grad - stack.head.weight.grad[net]).abs().max() < 1e-13
        assert (single.head.bias.grad - stack.head.bias.grad[net]).abs().max() < 1e-13


def check_gradients(single, stack, net: int) -> None:
    for name in ("skip", "down", "middle", "last"):
        found = getattr(stack, name)
        assert (getattr(single, name)[-3].weight.grad - found.conv.weight.grad[net]).abs().max() < (
            1e-13
        )
        assert (getattr(single, name)[-2].bias.grad - found.norm.shift.grad[net]).abs().max() < (
            1e-13
        )
    joined = torch.cat([stack.up_skip.weight.grad[net], stack.up_deep.weight.grad[net]], 1)
    assert (single.up[-3].weight.grad - joined).abs().max() < 1e-13
    gains = torch.cat([stack.norm_skip.gain.grad[net], stack.norm_deep.gain.grad[net]])
    assert (single.norm.weight.grad - gains).abs().max() < 1e-13
    if single.deeper is not None:
        check_gradients(single.deeper, stack.deeper, net)


def test_networks_do_not_touch_each_other():
    stack = make_stack([1, 2])
    noise = torch.rand(2, 5, 16, 16, dtype=torch.float64, requires_grad=True)
    stack(noise)[0].sum().backward()
    assert noise.grad[1].abs().max() == 0
    assert all(p.grad[1].abs().max() == 0 for p in stack.parameters())


def test_start_depends_on_the_generator_alone_and_is_bounded():
    first, second = make_stack([7, 8]), make_stack([8, 9, 7])
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a[0], b[2])
        assert torch.equal(a[1], b[0])
    weight = first.scales.middle.conv.weight
    bound = (6 * 9) ** -0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.9 * bound


def test_reflection_is_torch_reflection():
    maps = torch.rand(2, 3, 4, 5)
    wanted = torch.nn.functional.pad(maps, (1, 1, 1, 1), mode="reflect")
    assert torch.equal(reflect_one(maps), wanted)


@pytest.mark.parametrize(("side", "mode"), [(32, "bilinear"), (8, "bicubic"), (11, "bilinear")])
def test_resize_equals_interpolate(side, mode):
    maps = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    wanted = torch.nn.functional.interpolate(maps, (side, side), mode=mode, antialias=True)
    assert (resize(maps, side, mode) - wanted).abs().max() < 1e-12
    if side > 16:
        plain = torch.nn.functional.interpolate(maps, scale_factor=2, mode="bilinear")
        assert (resize(maps, side, mode) - plain).abs().max() < 1e-12


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize_to_the_same_side_keeps_the_maps_and_their_gradient(mode):
    """As interpolation does, to the bit: its weights are then 1 and 0."""
    maps = torch.rand(1, 3, 8, 8, generator=torch_generator(0, "maps")).requires_grad_()
    found = resize(maps, 8, mode)
    wanted = torch.nn.functional.interpolate(maps.detach(), (8, 8), mode=mode, antialias=True)
    assert torch.equal(found, wanted) and torch.equal(found, maps)
    weights = torch.rand(1, 3, 8, 8, generator=torch_generator(0, "weights"))
    (found * weights).sum().backward()
    assert torch.equal(maps.grad, weights)


@pytest.mark.parametrize("size", [12, 30, 8])
def test_size_that_cannot_be_halved_is_refused(size):
    with refused("invalid-setting", "dip.size", "multiple of 8", "at least 16"):
        make_stack([1], SETTINGS.model_copy(update={"size": size, "n_scales": 3}))
