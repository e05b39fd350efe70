import math

import pytest
import torch

from brainit.reconstruction.sampling import alphas_cumprod, noise_schedule


def plain_sigma(timestep: int) -> float:
    """Sigma of a training step from the betas' definition, in a plain loop."""
    product = 1.0
    for step in range(timestep + 1):
        root = 0.00085**0.5 + step / 999 * (0.012**0.5 - 0.00085**0.5)
        product *= 1.0 - root * root
    return math.sqrt((1.0 - product) / product)


@pytest.mark.parametrize(
    ("n_steps", "timestep", "sigma", "left"), [(50, 719, 3.60, 36), (38, 630, 2.55, 24)]
)
def test_start_step_14_is_where_the_reference_says(n_steps, timestep, sigma, left):
    schedule = noise_schedule(n_steps)
    assert schedule.timesteps[14] == timestep
    assert schedule.sigmas[14] == pytest.approx(sigma, abs=0.005)
    assert len(schedule.timesteps) - 14 == left


@pytest.mark.parametrize("n_steps", [1, 7, 38, 50, 1000])
def test_timesteps_and_sigmas_follow_the_formulas(n_steps):
    schedule = noise_schedule(n_steps)
    assert schedule.timesteps.tolist() == [
        math.floor(999 - 999 * i / n_steps + 1e-9) for i in range(n_steps)
    ]
    assert schedule.sigmas[-1] == 0.0
    for i in range(0, n_steps, max(1, n_steps // 5)):
        assert schedule.sigmas[i] == pytest.approx(
            plain_sigma(int(schedule.timesteps[i])), rel=1e-10
        )
    assert (schedule.sigmas[1:] < schedule.sigmas[:-1]).all()


def test_a_generators_own_schedule_is_used():
    signal = torch.linspace(0.99, 0.01, 10)
    schedule = noise_schedule(5, signal)
    assert schedule.timesteps.tolist() == [9, 7, 5, 3, 1]
    share = float(signal[7])
    assert schedule.sigmas[1] == pytest.approx(math.sqrt((1 - share) / share), rel=1e-6)


def test_sdxl_share_of_signal_starts_near_one_and_ends_near_nothing():
    share = alphas_cumprod()
    assert share[0] == pytest.approx(1 - 0.00085)
    assert 0.004 < share[-1] < 0.005
