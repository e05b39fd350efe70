"""Start-up of steps, which every job pays for: unused libraries are not imported."""

import json
import subprocess
import sys

from brainit.steps import STEPS

IMPORTED = """
import importlib, json, sys
before, found = set(), {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    found[name] = sorted(set(sys.modules) - before)
    before |= set(sys.modules)
print(json.dumps(found))
"""
WITHOUT_TORCH = [
    *[
        "download",
        "download_images",
        "download_external",
        "prepare_design",
        "prepare_betas",
        "prepare_nsdsynthetic",
    ],
    *[
        "estimate_noise_ceiling",
        "prepare_lab_subject",
        "prepare_images",
        "prepare_external",
        "join_cohort",
        "screen_external",
        "simulate_nsd",
    ],
    *["cluster_voxels", "assign_voxels", "gather_reconstructions", "check_claims", "make_table"],
    *["make_report", "pick_nearest", "draw_places"],
]
BUILDS_NETWORKS = {"diffusers", "open_clip", "timm", "torchvision", "transformers"}
COMPILER = {"torch._dynamo", "torch._inductor", "sympy"}


def imported_modules(names: list[str]) -> dict[str, set[str]]:
    """Return the modules that each import adds to those before it, in a separate process."""
    command = [sys.executable, "-c", IMPORTED, *names]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: set(found) for name, found in json.loads(result.stdout).items()}


def modules_of(steps: list[str]) -> dict[str, set[str]]:
    return imported_modules([f"brainit.steps.{step}" for step in steps])


def test_steps_of_data_and_tables_start_without_torch() -> None:
    guilty = [step for step, found in modules_of(WITHOUT_TORCH).items() if "torch" in found]
    assert not guilty, "move the import of torch into the function that uses it"


def test_a_new_subjects_clusters_need_no_scikit_learn() -> None:
    assert "sklearn" not in modules_of(["assign_voxels"])["brainit.steps.assign_voxels"]


def test_no_step_imports_network_libraries_at_start() -> None:
    found = {
        step: names & (BUILDS_NETWORKS | COMPILER) for step, names in modules_of([*STEPS]).items()
    }
    assert not {step: names for step, names in found.items() if names}


def test_determinism_is_on_without_torchs_compiler() -> None:
    code = (
        "import sys, torch; from brainit.core.seeds import use_threads; use_threads(1);"
        "print(torch.are_deterministic_algorithms_enabled(),"
        "torch.is_deterministic_algorithms_warn_only_enabled(), 'torch._dynamo' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False", "False"]


def test_a_generator_starts_without_what_diffusers_does_not_need() -> None:
    unused = {"torchvision", "scipy", *COMPILER}
    code = (
        "import sys; from brainit.core.compat import diffusers_models; diffusers_models();"
        f"print([name for name in {sorted(unused)} if name in sys.modules]);"
        "import scipy, torch; print(torch.compiler.disable.__module__)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "torch.compiler"]


def test_a_generator_starts_after_a_users_own_diffusers() -> None:
    code = (
        "import diffusers; from brainit.core.compat import diffusers_models;"
        "print([found.__name__ for found in diffusers_models()])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["['UNet2DConditionModel',", "'AutoencoderKL']"]
