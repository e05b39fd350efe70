"""Maps of the tiny run's own models, against plain sums over its voxels, clusters and queries."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import brainit
from brainit.api import export_maps, open_decoder, open_encoder, predict_responses
from brainit.data.voxels import read_voxels

pytestmark = pytest.mark.slow


def values_of(folder: Path, name: str, voxels: dict[str, np.ndarray]) -> np.ndarray:
    sides = [nib.load(folder / f"subj01.{side}.{name}.func.gii").agg_data() for side in "LR"]
    pairs = zip(voxels["hemisphere"], voxels["vertex"], strict=True)
    return np.array([sides[side][vertex] for side, vertex in pairs])


def test_maps_of_a_run(first: Path, tmp_path: Path) -> None:
    results = brainit.load(first / "results")
    files = export_maps(results.folder, ["subj01"], tmp_path / "maps")
    assert len(files) == 6 * 3
    voxels = read_voxels(first / "results/subj01/betas/voxels.safetensors")
    betas, nsd_id = results.test_betas("subj01")
    models = first / "results/group/all/main"

    seen = torch.from_numpy(results.seen("subj01", nsd_id)).permute(0, 3, 1, 2) / 255
    encoder = open_encoder(models / "encoder/encoder.safetensors")
    predicted = predict_responses(encoder, "subj01", seen).numpy()
    expected = [np.corrcoef(predicted[:, v], betas[:, v])[0, 1] for v in range(betas.shape[1])]
    accuracy = values_of(tmp_path / "maps", "encoder_accuracy", voxels.tensors)
    np.testing.assert_allclose(accuracy, expected, atol=1e-4)

    bit = open_decoder(models / "joint/bit.safetensors")
    n_queries, n_clusters = bit.model.n_queries, bit.model.n_clusters
    side = round(n_queries**0.5)
    weights = np.zeros((n_queries, n_clusters))
    with torch.inference_mode():
        bit.model.eval()
        for row in torch.from_numpy(betas.astype(np.float32)):
            tokens = bit.model.tokenize(row[None], bit.subjects["subj01"])
            weights += bit.model.cross_attention(tokens).double().mean(dim=(0, 1, 2)).numpy()
    weights /= len(betas)
    share = [
        100 * sum(weights[q, c] for q in range(n_queries)) / n_queries for c in range(n_clusters)
    ]
    assert sum(share) == pytest.approx(100)
    height = np.zeros(n_clusters)
    for cluster in range(n_clusters):
        for query in range(n_queries):
            up = 1 - 2 * (query // side) / (side - 1)
            height[cluster] += up * weights[query, cluster] / weights[:, cluster].sum()
    cluster = bit.model.voxel_cluster[bit.subjects["subj01"]].numpy()
    found = {
        n: values_of(tmp_path / "maps", n, voxels.tensors) for n in ("attention", "attention_y")
    }
    np.testing.assert_allclose(found["attention"], np.array(share)[cluster], rtol=1e-5)
    np.testing.assert_allclose(found["attention_y"], (height - height.mean())[cluster], atol=1e-5)
