"""A step's digest changes with the code that decides its bytes, and with nothing else."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brainit.data.nsd.sessions import _CODE as SESSION_CODE
from brainit.steps import STEPS
from brainit.workflow.digest import LEFT_OUT, PACKAGE, Code, code_digest, main

TRAIN_STAGE_2 = {"train_joint", "adapt_joint"}
SCORING = {"evaluate", "extract_true_features", "check_results"}
"""`check_results` scores the checks' own images with the metric networks."""
INFONCE = {"train_bit", "adapt_bit"}
"""Steps of stage 1: the kind of BIT, and so its loss, is an argument of the same functions."""
PEERS = {"train_peer", "adapt_peer"}
DRAWING = INFONCE | TRAIN_STAGE_2 | PEERS
"""Steps that train a BIT or a peer on examples."""
TRAINED = DRAWING | {"train_encoder", "adapt_encoder"}
"""Steps with a training loop."""
DECODING = {
    *("train_bit", "reconstruct_lowlevel", "reconstruct_semantic", "reconstruct_fused"),
    *("predict_peer", "reconstruct_searched"),
}
"""Steps that make or read whichever decoder the settings or the file choose."""
BIT_READERS = {
    *(*DECODING, *TRAIN_STAGE_2, "adapt_bit", "import_authors", "check_results", "make_figures"),
}
ZSCORED = {"prepare_betas", "prepare_nsdsynthetic", "prepare_nsdimagery", "prepare_lab_subject"}
PUBLISHED = {"prepare_betas", "estimate_noise_ceiling"}
FETCH = {"fetch_weights"}
PAPER = {"make_table", "make_report", "check_results", "check_claims"}
"""Steps that compare with numbers of the paper."""

WORDS = [
    ("docstring of a setting", "core.settings.models", r'(iterations: .*\n    """)', r"\1Other. "),
    (
        "new key of EvaluationSettings",
        "core.settings.models",
        r'(class EvaluationSettings\(Section\):\n    """[^"]*"""\n)',
        r'\1\n    further: int = 1\n    """A further key."""\n',
    ),
    ("help of a flag in core.cli", "core.cli", r'help="', 'help="other: '),
    ("help of a flag in a step", "steps.download", r'"""', '"""Other. '),
    ("heartbeat of a lock", "core.locks", r"HEARTBEAT_S = 30\.0", "HEARTBEAT_S = 31.0"),
    ("seconds between progress lines", "core.progress", r"= 10\.0", "= 11.0"),
    ("label of a progress bar", "reconstruction.dip", r'"deep image prior"', '"DIP"'),
    ("log message", "reconstruction.dip", r'"mean feature loss', '"loss'),
    ("comment", "data.zscore", r"( +)block -=", r"\1# why\n\1block -="),
    ("blank line", "data.zscore", r"( +)block -=", r"\n\1block -="),
    ("docstring of a function", "data.zscore", r'    """Return', '    """Give'),
    ("annotation of an argument", "data.zscore", r"NDArray\[np\.float32\]", "NDArray[np.float64]"),
    ("annotation of a result", "data.zscore", r"NDArray\[np\.float16\]", '"NDArray[np.float16]"'),
    ("message of an error", "reconstruction.dip", r'"finite numbers"', '"numbers"'),
    ("its fix, a variable", "reconstruction.dip", r'    fix = "', '    fix = "first '),
    ("fix of published weights", "features.weights_file", r'REFETCH = "', 'REFETCH = "first '),
    ("fix of shipped weights", "features.weights_file", r'_FIX = "', '_FIX = "first '),
    ("fix of an atlas", "data.nsd.masks", r'_ATLAS_FIX = "', '_ATLAS_FIX = "first '),
    ("full and closed disks", "core.files", r"errno\.EPERM, ", ""),
    ("licence of a network", "features.registry_entries", r'"Apache-2\.0"', '"Apache 2.0"'),
    ("size of a network", "features.registry_entries", r", 1217\)", ", 1218)"),
    ("size of a hub's file", "features.registry_entries", r"10160,", "10161,"),
    ("description", "features.registry_entries", r'"DINOv2 ViT-L/14', '"ViT-L/14'),
    ("users of a network", "features.registry_entries", r'"train_encoder adapt_', '"adapt_'),
    ("text of a contract", "core.artifacts", r'"percent of variance', '"percent, of variance'),
    ("code of an error", "core.errors", r"CODES = \{", 'CODES = {\n    "new": "a kind",'),
    ("seconds between log lines", "training.loop", r"= 15\.0", "= 16.0"),
    ("digits of a score in the log", "training.loop", r":\.5f", ":.4f"),
    ("share of checkpoints", "training.resume", r"_LARGEST_SHARE = 0\.05", "_LARGEST_SHARE = 0.1"),
    ("threads of a loader", "training.loader", r"OF_A_GPU = 4", "OF_A_GPU = 5"),
    ("rows to ask for ahead", "core.shards", r"1 << 16", "1 << 17"),
    ("timeout of processes", "training.parallel", r"hours=1\)", "hours=2)"),
    ("label of a training", "training.encoder", r'label="encoder"', 'label="the encoder"'),
    ("label of stage 1", "training.stage1", r'\{self\.kind\} BIT"', 'BIT: {self.kind}"'),
    ("label of a transfer", "training.joint", r'label="adapt_joint"', 'label="transfer"'),
    ("log line of the loop", "training.loop", r"continues in epoch %d", "epoch %d"),
    ("words of a decoder's error", "models.brain_decoder", r'f"pass betas', 'f"give betas'),
    ("attempts of a download", "data.fetch.transfers", r"_ATTEMPTS = \d+", "_ATTEMPTS = 99"),
]
CODE = [
    ("LPIPS epsilon", "features.lpips", r"_TINY = 1\.0e-10", "_TINY = 1.0e-9", SCORING),
    ("loss of stage 2", "training.joint", r"F\.mse_loss\(", "2 * F.mse_loss(", TRAIN_STAGE_2),
    (
        "loss of the DIP",
        "reconstruction.dip",
        r"\.square\(\)\.mean\(\(1, 2, 3\)\)",
        ".abs().mean((1, 2, 3))",
        {"reconstruct_lowlevel"},
    ),
    ("constant of a loss", "training.losses", r"\(0\.5 \* \(row_lse", "(0.4 * (row_lse", INFONCE),
    ("operator of a loss", "training.losses", r"log_\(\) \+ row_max", "log_() - row_max", INFONCE),
    ("temperature", "training.losses", r" / temperature", " * temperature", INFONCE),
    (
        "default",
        "training.losses",
        r"temperature: float = 0\.07",
        "temperature: float = 1",
        INFONCE,
    ),
    ("voxels of a batch", "training.examples", r"row\[voxels\] = True", "row[voxels] = 1", DRAWING),
    ("order of batches", "training.loader", r"asked\.popleft\(\)", "asked.pop()", TRAINED),
    (
        "8-bit tokens",
        "features.token_cache",
        r"_LARGEST = 127",
        "_LARGEST = 126",
        {"extract_features"},
    ),
    ("MLP", "models.brain_mlp", r"functional\.gelu", "functional.relu", DECODING),
    ("BIT's file", "models.brain_transformer", r"model\.eval\(\), s", "model, s", BIT_READERS),
    ("another decoder", "core.decoders", r'"mlp": ".*",', r'\g<0> "own": "x:Own",', DECODING),
    ("decorator", "training.losses", r"    @once_differentiable\n", "", INFONCE),
    ("z-score", "data.zscore", r"std\(axis=0\)", "std(axis=0, ddof=1)", ZSCORED),
    ("source of a network", "features.registry_entries", r"vgg16_bn-6c64", "vgg16_bn-7c64", FETCH),
    ("checksum of a network", "features.registry_entries", r'"6c64b313"', '"6c64b314"', FETCH),
    (
        "revision",
        "features.registry_entries",
        r'revision: str = "main"',
        'revision: str = "1"',
        FETCH,
    ),
    ("tensors kept", "features.registry_entries", r'keep=\("visual\."', 'keep=("other."', FETCH),
    ("number of the paper", "evaluation/tables/paper_tables.yaml", r"0\.\d", "0.0", PAPER),
    ("published number of NSD", "data/nsd/nsd_published.yaml", r": \d+", ": 1", PUBLISHED),
    ("style of the report", "report/report.css", r"{", "{ color: red;", {"make_report"}),
    ("script of the report", "report/report.js", r"$", "\n", {"make_report"}),
    ("template of the report", "report/report.html", r"<body", "<body ", {"make_report"}),
    ("images of the report", "report/report_images.html", r"$", "\n", {"make_report"}),
    ("works to cite", "report/citations.yaml", r"$", "\n", {"make_report"}),
    ("order of operations", "data.zscore", r"deviation > 0", "deviation >= 0", ZSCORED),
]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the package's sources."""
    root = tmp_path_factory.mktemp("sources")
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    for path in (path for folder in folders for path in folder.iterdir() if path.is_file()):
        target = root / "brainit" / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return root


@pytest.fixture(scope="module")
def before(sources: Path) -> dict[str, str]:
    return digests(sources)


def digests(root: Path) -> dict[str, str]:
    code = Code(root)
    return {step: code.digest(f"brainit.steps.{step}") for step in STEPS}


@pytest.fixture(scope="module")
def changed(sources: Path, before: dict[str, str]) -> Callable[[str, str, str], set[str]]:
    """Return a function that makes one edit, tells the steps that it changes, and takes it back."""

    def steps_changed(module: str, pattern: str, replacement: str) -> set[str]:
        path = sources.joinpath("brainit", *module.split(".")).with_suffix(".py")
        path = sources / "brainit" / module if "/" in module else path
        text = path.read_text(encoding="utf-8")
        edited, n_edits = re.subn(pattern, replacement, text, count=1)
        assert n_edits == 1 and edited != text, f"{module} has no {pattern}: adapt this row"
        path.write_text(edited, encoding="utf-8")
        try:
            after = digests(sources)
        finally:
            path.write_text(text, encoding="utf-8")
        return {step for step in STEPS if after[step] != before[step]}

    return steps_changed


@pytest.mark.parametrize(("what", "module", "pattern", "replacement"), WORDS)
def test_words_change_no_step(
    what: str, module: str, pattern: str, replacement: str, changed: Callable[..., set[str]]
) -> None:
    found = changed(module, pattern, replacement)
    print(f"{what:34} {len(found):2} of {len(STEPS)}")
    assert found == set()


@pytest.mark.parametrize(("what", "module", "pattern", "replacement", "steps"), CODE)
def test_code_changes_the_steps_that_run_it(
    what: str,
    module: str,
    pattern: str,
    replacement: str,
    steps: set[str],
    changed: Callable[..., set[str]],
) -> None:
    found = changed(module, pattern, replacement)
    print(f"{what:34} {len(found):2} of {len(STEPS)}: {', '.join(sorted(found))}")
    assert found == steps


def test_the_package_that_runs_is_the_one_that_is_digested(before: dict[str, str]) -> None:
    assert {step: code_digest(f"brainit.steps.{step}") for step in STEPS} == before


SESSION_READERS = ["beta_source", "masks", "mgh", "volume", "sessions"]


@pytest.mark.parametrize("module", [*(f"nsd.{name}" for name in SESSION_READERS), "zscore"])
def test_finished_sessions_stay_valid_until_their_code_changes(module: str, sources: Path) -> None:
    path = sources.joinpath("brainit", "data", *module.split(".")).with_suffix(".py")
    before, text = Code(sources).digest(*SESSION_CODE), path.read_text(encoding="utf-8")
    try:
        path.write_text(f"# A comment\n{text}", encoding="utf-8")
        assert Code(sources).digest(*SESSION_CODE) == before
        path.write_text(text.replace("return ", "return 0 or "), encoding="utf-8")
        assert Code(sources).digest(*SESSION_CODE) != before
    finally:
        path.write_text(text, encoding="utf-8")


BY_A_NAME = {
    *("__init__", "features/registry", "models/decoders", "core/compat"),
    *("commands/doctor_machine", "commands/program", "commands/rehearse/probe"),
    "commands/plan/__init__",
}
"""Modules that import by a name: API, networks, decoders, torchvision, programs, sub-commands, the
step that a rehearsal runs, and what a plan needs while its dry run goes on."""


def test_no_other_module_imports_by_a_name() -> None:
    """The digest can't follow such an import; networks go through `load_backbone`."""
    dynamic = re.compile(r"import_module|__import__|find_spec|globals\(\)|sys\.modules")
    found = {
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in PACKAGE.rglob("*.py")
        if dynamic.search(path.read_text(encoding="utf-8"))
    }
    assert found <= BY_A_NAME


def test_everything_left_out_exists(sources: Path) -> None:
    for name in LEFT_OUT:
        module, _, part = name.partition(":")
        path = sources.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert path.is_file(), name
        defined = rf"^(def |class )?{part}\b"
        assert re.search(defined, path.read_text(), re.M) if part else True, name


def test_the_command_lists_what_a_step_covers(capsys: pytest.CaptureFixture[str]) -> None:
    main(["prepare_betas"])
    shown = capsys.readouterr().out
    assert "brainit.data.zscore: _LARGEST, _VOXELS_PER_BLOCK, zscore_session" in shown
    assert "torch" not in shown
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1] for line in lines} == set(STEPS)
