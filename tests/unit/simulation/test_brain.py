"""The simulated brain: contralateral fields, silent voxels, noise as drawn, repeatable draws."""

from dataclasses import replace

import numpy as np
import pytest

from brainit.simulation.brain import (
    SILENT_SHARE,
    Brain,
    draw_brain,
    gaussian_fields,
    signal_share,
    signals,
)
from brainit.simulation.filter_bank import MAP_SIZE, N_CHANNELS
from brainit.simulation.geometry import AREAS, RETINOTOPIC, hemisphere, visual_vertices
from brainit.simulation.recording import ncsnr, record, standardise
from brainit.simulation.scenes import CONTENTS, KINDS, N_PLACE_VALUES

N_IMAGES, N_PER_SESSION = 120, 90


@pytest.fixture(scope="module")
def brain() -> Brain:
    vertices = (visual_vertices(0, 300), visual_vertices(1, 300))
    return draw_brain(vertices, 0, np.random.default_rng(0))


@pytest.fixture(scope="module")
def seen() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    maps = rng.random((N_IMAGES, N_CHANNELS, MAP_SIZE, MAP_SIZE), dtype=np.float32) ** 4
    contents = (rng.random((N_IMAGES, len(CONTENTS), MAP_SIZE, MAP_SIZE)) < 0.1).astype(np.float32)
    return maps, contents, rng.uniform(-1, 1, (N_IMAGES, N_PLACE_VALUES)).astype(np.float32)


def test_early_fields_are_contralateral(brain: Brain) -> None:
    early = brain.area < RETINOTOPIC
    right_field = brain.prf[:, 0] > 0.5
    assert early.sum() > 200
    np.testing.assert_array_equal(right_field[early], brain.hemisphere[early] == 0)


def test_a_half_field_drives_the_other_hemisphere(brain: Brain) -> None:
    maps = np.zeros((2, N_CHANNELS, MAP_SIZE, MAP_SIZE), dtype=np.float32)
    maps[1, :, :, : MAP_SIZE // 2] = 1
    nothing = np.zeros((2, len(CONTENTS), MAP_SIZE, MAP_SIZE), dtype=np.float32)
    dark, left = signals(brain, maps, nothing, np.zeros((2, N_PLACE_VALUES), dtype=np.float32))
    rise = (left - dark)[(brain.area < RETINOTOPIC) & ~brain.is_silent]
    side = brain.hemisphere[(brain.area < RETINOTOPIC) & ~brain.is_silent]
    assert np.median(rise[side == 1]) > 3 * np.median(rise[side == 0])


def test_at_least_a_fifth_of_the_voxels_carry_nothing(
    brain: Brain, seen: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    answers = signals(brain, *seen)
    constant = answers.std(axis=0) == 0
    np.testing.assert_array_equal(constant, brain.is_silent)
    assert SILENT_SHARE > 0.2
    assert 0.15 < constant.mean() < 0.3
    assert (brain.ceiling[constant] == 0).all()


def test_fields_in_plain_loops() -> None:
    prf = np.array([[0.3, 0.7, 0.1]])
    expected = np.zeros((MAP_SIZE, MAP_SIZE))
    for row in range(MAP_SIZE):
        for column in range(MAP_SIZE):
            x, y = (column + 0.5) / MAP_SIZE, (row + 0.5) / MAP_SIZE
            expected[row, column] = np.exp(-((x - 0.3) ** 2 + (y - 0.7) ** 2) / (2 * 0.1**2))
    expected /= expected.sum()
    np.testing.assert_allclose(gaussian_fields(prf)[0], expected.ravel(), rtol=1e-4, atol=1e-9)


def test_signal_share_is_the_inverse_of_the_ceiling() -> None:
    share = np.array([0.05, 0.2, 0.6])
    ceiling = 100 * share / (share + (1 - share) / 3)
    np.testing.assert_allclose(signal_share(ceiling), share, rtol=1e-12)


def test_ncsnr_of_the_recording_is_the_one_drawn(
    brain: Brain, seen: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    answers = standardise(signals(brain, *seen))
    order = np.random.default_rng(2).permutation(np.repeat(np.arange(N_IMAGES), 3))
    recording = record(brain, answers[order], N_PER_SESSION, 0, np.random.default_rng(3))
    snr = ncsnr(recording.betas, order, N_PER_SESSION)
    ceiling = 100 * snr**2 / (snr**2 + 1 / 3)
    loud = ~brain.is_silent
    assert np.corrcoef(ceiling[loud], brain.ceiling[loud])[0, 1] > 0.9
    assert abs(np.median(ceiling[loud]) - np.median(brain.ceiling[loud])) < 4
    assert np.median(ceiling[~loud]) < 8


def test_noise_is_shared_by_neighbours_and_keeps_its_variance(brain: Brain) -> None:
    np.testing.assert_allclose((brain.noise_pattern**2).sum(axis=0), 1, rtol=1e-5)
    n_trials = 4000
    silent = np.zeros((n_trials, len(brain)), dtype=np.float32)
    deaf = replace(brain, ceiling=np.zeros(len(brain)))
    betas = record(deaf, silent, n_trials, 0, np.random.default_rng(4)).betas
    time = np.linspace(-1, 1, n_trials)
    flat = betas - betas.mean(axis=0)
    flat -= np.outer(time, time @ flat / (time @ time))
    found = np.corrcoef(flat.T)
    drawn = 0.1 * brain.noise_pattern.T @ brain.noise_pattern
    np.fill_diagonal(drawn, 1)
    assert np.abs(found - drawn).max() < 0.1
    position = np.concatenate(
        [hemisphere(side).position_mm[brain.vertex[brain.hemisphere == side]] for side in (0, 1)]
    )
    apart = np.linalg.norm(position[:, None] - position[None], axis=2)
    near, far = found[(apart > 0) & (apart < 5)], found[apart > 45]
    assert near.mean() > 0.06
    assert abs(far.mean()) < near.mean() / 2


def test_the_same_seed_draws_the_same_brain(brain: Brain) -> None:
    vertices = (visual_vertices(0, 300), visual_vertices(1, 300))
    again = draw_brain(vertices, 0, np.random.default_rng(0))
    other = draw_brain(vertices, 0, np.random.default_rng(1))
    np.testing.assert_array_equal(again.prf, brain.prf)
    np.testing.assert_array_equal(again.channel_weight, brain.channel_weight)
    assert not np.array_equal(other.prf, brain.prf)


def test_a_category_voxel_prefers_a_content_of_its_area_s_kind(brain: Brain) -> None:
    for kind, members in KINDS.items():
        weight = brain.content_weight[brain.area == AREAS.index(kind)]
        own = [CONTENTS.index(member) for member in members]
        assert set(weight.argmax(axis=1)) == set(own)
        rest = np.delete(weight, own, axis=1)
        assert (weight.max(axis=1) > 2 * rest.max(axis=1)).all()
    assert not brain.content_weight[brain.area < RETINOTOPIC].any()


def test_places_drive_the_place_area_most(brain: Brain) -> None:
    drive = np.abs(brain.place_weight).mean(axis=1)
    place, early = brain.area == AREAS.index("place"), brain.area < RETINOTOPIC
    assert drive[place].mean() > 2 * drive[~place & ~early].mean() > 0
    assert not brain.place_weight[early].any()
