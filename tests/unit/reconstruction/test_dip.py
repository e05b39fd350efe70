import pytest
import torch
from tests.benchmarks import plain_skip_net
from tests.refusals import refused

from brainit.core.seeds import torch_generator
from brainit.core.settings import DipSettings
from brainit.models.deep_image_prior import SkipNetStack
from brainit.reconstruction.dip import feature_loss, invert_features

CPU = torch.device("cpu")
SETTINGS = DipSettings(iterations=12, lr=1e-2, size=16, input_depth=4, width=6, n_scales=2, chunk=3)


@pytest.fixture(scope="module")
def vgg():
    return plain_skip_net.SmallVgg(8, (4, 6, 8)).double()


def targets_of(vgg, n_images: int) -> list[torch.Tensor]:
    images = torch.rand(n_images, 3, 8, 8, dtype=torch.float64, generator=torch_generator(1, "i"))
    return vgg(images)


def one_at_a_time(vgg, targets, image_id: int, settings: DipSettings, seed: int):
    """Fit one image with plain modules, its own Adam and a plain loop (section D.2)."""
    stack = SkipNetStack([torch_generator(seed, "dip_network", image_id)], settings)
    net = plain_skip_net.PlainSkipNet(
        settings.input_depth, settings.width, 2, settings.n_scales
    ).double()
    plain_skip_net.copy_network(net, stack, 0)
    shape = (settings.input_depth, settings.size, settings.size)
    fixed = torch.rand(shape, generator=torch_generator(seed, "dip_input", image_id)).double()
    stream = torch_generator(seed, "dip_noise", image_id)
    adam = torch.optim.Adam(net.parameters(), lr=settings.lr)
    average = None
    for _ in range(settings.iterations):
        fresh = torch.empty(shape, dtype=torch.float64).normal_(generator=stream)
        image = net((settings.input_noise * fixed + settings.noise_std * fresh)[None])
        small = torch.nn.functional.interpolate(image, (8, 8), mode="bicubic", antialias=True)
        loss = 0.0
        for found, wanted in zip(vgg(small), targets, strict=True):
            loss = loss + ((found[0] - wanted) ** 2).mean() / len(targets)
        adam.zero_grad()
        loss.backward()
        adam.step()
        image = image.detach()[0]
        average = image if average is None else settings.ema * average + (1 - settings.ema) * image
    return average


def test_chunks_equal_one_plain_network_at_a_time_over_12_steps(vgg):
    targets = targets_of(vgg, 4)
    ids = [11, 3, 70, 5]
    together = invert_features(targets, ids, vgg, SETTINGS, 42, CPU)
    for row, image_id in enumerate(ids):
        own = [target[row] for target in targets]
        alone = one_at_a_time(vgg, own, image_id, SETTINGS, 42)
        assert (together[row] - alone).abs().max() < 1e-12


def test_an_image_does_not_depend_on_its_chunk(vgg):
    targets = targets_of(vgg, 3)
    together = invert_features(targets, [0, 1, 2], vgg, SETTINGS, 42, CPU)
    single = SETTINGS.model_copy(update={"chunk": 1})
    backwards = [target.flip(0) for target in targets]
    apart = invert_features(backwards, [2, 1, 0], vgg, single, 42, CPU)
    assert (together - apart.flip(0)).abs().max() < 1e-12


def test_float32_repeats_to_the_byte():
    vgg = plain_skip_net.SmallVgg(8, (4, 6, 8))
    targets = [target.float() for target in targets_of(vgg.double(), 3)]
    vgg = vgg.float()
    first, second = (invert_features(targets, [0, 1, 2], vgg, SETTINGS, 1, CPU) for _ in range(2))
    assert torch.equal(first, second)
    other = invert_features(targets, [0, 1, 2], vgg, SETTINGS, 2, CPU)
    assert not torch.equal(first, other)


def test_feature_loss_is_the_mean_over_layers_of_mean_squared_errors():
    maps = [torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)]
    wanted = [torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)]
    for image in range(2):
        total = 0.0
        for found, target in zip(maps, wanted, strict=True):
            errors = [
                float(a - b) ** 2
                for a, b in zip(found[image].flatten(), target[image].flatten(), strict=True)
            ]
            total += sum(errors) / len(errors) / 2
        assert float(feature_loss(maps, wanted)[image]) == pytest.approx(total, rel=1e-5)


def test_true_features_give_the_image_back():
    vgg = plain_skip_net.SmallVgg(16, (8, 12, 16))
    grid = torch.linspace(0, 1, 16)
    noise = torch.rand(16, 16, generator=torch_generator(1, "blue"))
    image = torch.stack([grid.expand(16, 16), grid[:, None].expand(16, 16), noise])
    settings = DipSettings(
        iterations=130, lr=1e-2, ema=0.95, size=16, input_depth=8, width=12, chunk=2
    )
    found = invert_features(vgg(image[None]), [0], vgg, settings, 0, CPU)
    pair = torch.stack([found.flatten(), image.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.85


def test_bad_features_are_refused(vgg):
    targets = targets_of(vgg, 2)
    with refused("wrong-shape", "layer 0", "3 > 0 images", "found 2"):
        invert_features(targets, [0, 1, 2], vgg, SETTINGS, 0, CPU)
    targets[1][0, 0, 0, 0] = float("nan")
    with refused("bad-values", "layer 1", "NaN"):
        invert_features(targets, [0, 1], vgg, SETTINGS, 0, CPU)
