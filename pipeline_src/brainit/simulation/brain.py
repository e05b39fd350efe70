"""The simulated brain: the noiseless response of each voxel to an image.

Retinotopic voxels pool a filter bank through a contralateral receptive field. Category voxels
respond to the amount of their content in a coarser field, and weakly to other contents. A share of
the voxels does not respond. The noise of a voxel follows from its drawn noise ceiling; a tenth
of it is shared with the voxels around, as in fMRI, where noise is correlated over the cortex.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainit.simulation.filter_bank import MAP_SIZE, N_CHANNELS
from brainit.simulation.geometry import AREAS, RETINOTOPIC, individual_map
from brainit.simulation.geometry import hemisphere as surface
from brainit.simulation.scenes import CONTENTS, KINDS, N_PLACE_VALUES

SILENT_SHARE = 0.22
N_REPEATS_OF_CEILING = 3
_SIZE_FACTOR = (1.0, 1.3, 1.7, 2.3)
_EXPONENT = 0.6
_ENERGY_SHARE = (0.62, 0.58, 0.52, 0.25)
_MEDIAN_CEILINGS = (52.0, 49.0, 46.0, 43.0)
_N_NOISE_PATTERNS = 16
_NOISE_LENGTH_MM = 15.0
_CATEGORY_SIGMA = 0.15
_CONTENT_GAIN = 1.5


@dataclass(frozen=True)
class Brain:
    """A subject's voxels, left hemisphere first, and the parameters of their responses.

    `field` (voxels, 24 x 24) sums to one; `channel_weight` (voxels, channels); `content_weight`
    (voxels, contents); `place_weight` (voxels, place values); `ceiling` in percent, for three
    repeats; `noise_pattern` (patterns, voxels), unit sum of squares per voxel: how shared noise
    lies over the cortex.
    """

    hemisphere: NDArray[np.int64]
    vertex: NDArray[np.int64]
    area: NDArray[np.int64]
    is_silent: NDArray[np.bool_]
    prf: NDArray[np.float64]
    field: NDArray[np.float32]
    channel_weight: NDArray[np.float32]
    content_weight: NDArray[np.float32]
    place_weight: NDArray[np.float32]
    ceiling: NDArray[np.float64]
    noise_pattern: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vertex)


def draw_brain(
    vertices: tuple[NDArray[np.int64], NDArray[np.int64]],
    number: int,
    generator: np.random.Generator,
) -> Brain:
    """Draw the brain of subject `number` (from 0) over the masked vertices of both hemispheres."""
    maps = [individual_map(side, vertices[side], generator) for side in (0, 1)]
    hemisphere = np.repeat([0, 1], [len(v) for v in vertices])
    area = np.concatenate([m.area for m in maps])
    around = np.concatenate([m.around for m in maps])
    outward = np.concatenate([m.outward for m in maps])
    prf = _receptive_fields(hemisphere, area, around, outward, generator)
    n_voxels = len(area)
    is_silent = generator.random(n_voxels) < SILENT_SHARE
    channel_weight, content_weight, place_weight = _tuning(area, generator)
    median = _MEDIAN_CEILINGS[number % len(_MEDIAN_CEILINGS)]
    ceiling = np.clip(generator.normal(median, 17.0, n_voxels), 4.0, 88.0)
    return Brain(
        hemisphere=hemisphere,
        vertex=np.concatenate(vertices),
        area=area,
        is_silent=is_silent,
        prf=prf,
        field=gaussian_fields(prf),
        channel_weight=channel_weight,
        content_weight=content_weight,
        place_weight=place_weight,
        ceiling=np.where(is_silent, 0.0, ceiling),
        noise_pattern=_noise_patterns(vertices, generator),
    )


def _noise_patterns(
    vertices: tuple[NDArray[np.int64], NDArray[np.int64]], generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw (patterns, voxels): waves over the pial surface, about 15 mm from rise to fall.

    A pattern has one direction and a phase of its own in each hemisphere.
    """
    direction = generator.normal(0, 1 / _NOISE_LENGTH_MM, (_N_NOISE_PATTERNS, 3))
    phase = generator.uniform(0, 2 * np.pi, (_N_NOISE_PATTERNS, 2))
    waves = [
        np.cos(direction @ surface(side).position_mm[vertices[side]].T + phase[:, [side]])
        for side in (0, 1)
    ]
    pattern = np.concatenate(waves, axis=1)
    return (pattern / np.linalg.norm(pattern, axis=0)).astype(np.float32)


def _receptive_fields(
    hemisphere: NDArray[np.int64],
    area: NDArray[np.int64],
    around: NDArray[np.float64],
    outward: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return x, y (fractions of the image, y down) and sigma of each voxel's field.

    The left hemisphere sees the right half; upper cortex sees the lower field; neighbouring
    retinotopic areas mirror each other.
    """
    is_early = area < RETINOTOPIC
    mirrored = np.where(area % 2 == 0, 1.0, -1.0)
    polar = around * mirrored * (np.pi / 2)
    eccentricity = np.where(is_early, 0.04 + 0.46 * outward, 0.05 + 0.30 * outward)
    eccentricity = eccentricity + generator.normal(0, 0.02, len(area))
    side = np.where(hemisphere == 0, 1.0, -1.0)
    x = 0.5 + side * np.abs(eccentricity) * np.cos(polar)
    y = 0.5 + eccentricity * np.sin(polar)
    factor = np.array([*_SIZE_FACTOR, *[0.0] * (len(AREAS) - RETINOTOPIC)])[area]
    sigma = np.where(is_early, factor * (0.035 + 0.10 * np.abs(eccentricity)), _CATEGORY_SIGMA)
    sigma = sigma * np.exp(generator.normal(0, 0.15, len(area)))
    return np.stack([x, y, sigma], axis=1)


def gaussian_fields(prf: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return (voxels, 24 x 24) Gaussians of x, y, sigma; each sums to one."""
    axis = (np.arange(MAP_SIZE) + 0.5) / MAP_SIZE
    x, y, sigma = (prf[:, [i]] for i in range(3))
    across = np.exp(-((axis - x) ** 2) / (2 * sigma**2))
    down = np.exp(-((axis - y) ** 2) / (2 * sigma**2))
    field = (down[:, :, None] * across[:, None, :]).reshape(len(prf), -1)
    return (field / field.sum(axis=1, keepdims=True)).astype(np.float32)


def _tuning(
    area: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw weights of channels, contents and place values: typical of the area, spread."""
    n_voxels = len(area)
    n_energies = N_CHANNELS - 6
    energy = generator.dirichlet(np.full(n_energies, 0.25), n_voxels)
    colour = generator.dirichlet(np.full(6, 0.35), n_voxels)
    share = np.array([*_ENERGY_SHARE, *[0.4] * (len(AREAS) - RETINOTOPIC)])[area][:, None]
    channel = np.concatenate([share * energy, (1 - share) * colour], axis=1)
    is_early = (area < RETINOTOPIC)[:, None]
    channel = channel * np.where(is_early, 1.0, 0.4)
    content = 0.15 * generator.random((n_voxels, len(CONTENTS)))
    for kind, members in KINDS.items():
        content[area == AREAS.index(kind)] += _tuning_to_kind(
            int((area == AREAS.index(kind)).sum()), members, generator
        )
    scene = generator.normal(0, 1, (n_voxels, N_PLACE_VALUES)) / np.sqrt(N_PLACE_VALUES)
    scene = scene * np.where(area == AREAS.index("place"), 0.3, 0.08)[:, None]
    late = np.where(is_early, 0.0, 1.0)
    return (
        channel.astype(np.float32),
        (content * late).astype(np.float32),
        (scene * late).astype(np.float32),
    )


def _tuning_to_kind(
    n_voxels: int, members: tuple[str, ...], generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return (voxels, contents): one content of the kind preferred, the others of it in part."""
    weight = np.zeros((n_voxels, len(CONTENTS)))
    columns = [CONTENTS.index(member) for member in members]
    weight[:, columns] = generator.uniform(0.0, 0.5, (n_voxels, len(columns)))
    preferred = generator.choice(columns, n_voxels)
    weight[np.arange(n_voxels), preferred] = generator.uniform(0.8, 1.2, n_voxels)
    return weight


def signals(
    brain: Brain,
    maps: NDArray[np.float32],
    contents: NDArray[np.float32],
    places: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the noiseless responses (images, voxels), not yet standardised.

    `maps` (images, channels, 24, 24), `contents` (images, contents, 24, 24) in 0..1, `places`
    (images, values) of `scenes.place_values`, zeros for none.
    """
    responses = np.zeros((len(maps), len(brain)), dtype=np.float32)
    for channel in range(N_CHANNELS):
        pooled = maps[:, channel].reshape(len(maps), -1) @ brain.field.T
        responses += brain.channel_weight[:, channel] * _compress(pooled) * _CHANNEL_GAIN[channel]
    for content in range(len(CONTENTS)):
        covered = contents[:, content].reshape(len(maps), -1) @ brain.field.T
        responses += brain.content_weight[:, content] * np.tanh(_CONTENT_GAIN * covered)
    responses += places @ brain.place_weight.T
    return np.where(brain.is_silent, np.float32(0), responses)


_CHANNEL_GAIN = np.array([6.0] * (N_CHANNELS - 6) + [1.6] * 6, dtype=np.float32)


def _compress(pooled: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.power(np.maximum(pooled, 0), _EXPONENT, dtype=np.float32)


def signal_share(ceiling: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of signal in the variance of a single trial, from the ceiling in percent.

    NC = 100 s / (s + (1 - s) / 3) for a share s, hence s = NC / (3 (100 - NC) + NC).
    """
    return ceiling / (N_REPEATS_OF_CEILING * (100.0 - ceiling) + ceiling)
