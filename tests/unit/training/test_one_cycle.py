"""The one-cycle schedule: golden values, torch's own scheduler, and what it sets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.unit.models.peers.golden_peers import read

from brainit.training.one_cycle import OneCycle


def test_golden_rates_and_beta1(golden_dir: Path) -> None:
    golden = read(golden_dir, "mindeye2_losses")
    n_epochs, n_batches = golden["one_cycle/epochs_steps"].tolist()
    cycle = OneCycle(3.0e-4, n_epochs * n_batches, 2.0 * n_batches)
    steps = range(n_epochs * n_batches)
    rates = [cycle.rate(step) for step in steps]
    np.testing.assert_allclose(rates, golden["one_cycle/lr"], rtol=1e-5)
    found = [cycle.beta1(step) for step in steps]
    np.testing.assert_allclose(found, golden["one_cycle/beta1"], rtol=1e-5)


def test_rates_are_those_of_torch() -> None:
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.95, 0.999))
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, total_steps=40, pct_start=0.25, final_div_factor=1000
    )
    own = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    cycle = OneCycle(0.01, 40, 10.0)
    for step in range(39):
        cycle.apply(own, step)
        for key in ("lr", "betas"):
            assert own.param_groups[0][key] == pytest.approx(optimizer.param_groups[0][key])
        optimizer.step()
        theirs.step()
