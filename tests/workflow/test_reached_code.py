"""The digest follows names to the definitions that they mean, in a small package."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from brainit.workflow.digest import PACKAGE, Code, code_digest

FILES = {
    "__init__": "",
    "steps/__init__": "",
    "steps/run": '''
        """Run."""
        from math import sqrt

        from brainit import tools
        from brainit.models import first
        from brainit.models.net import Net, Sizes


        def main():
            from brainit.late import late

            tools.used(sqrt(2))
            return late(first, Net(Sizes()))
        ''',
    "models/__init__": "from brainit.models.inner import first\n",
    "models/inner": """
        def first(x):
            return _second(x)


        def _second(x):
            return x
        """,
    "models/net": '''
        import logging
        from dataclasses import dataclass
        from typing import TYPE_CHECKING

        from brainit.tools import Never

        if TYPE_CHECKING:
            from brainit.typing_only import Thing

        logger = logging.getLogger(__name__)
        WIDTH = 3


        @dataclass
        class Sizes:
            width: int = 1
            depth: int = 2


        class Base:
            def run(self, x: "Thing") -> Never:
                logger.info("x is %s", x)
                words = f"not {x}"
                if x:
                    raise ValueError(words + " now")
                return x + WIDTH


        class Net(Base):
            def __init__(self, sizes: Sizes) -> None:
                """Make it."""
                self.sizes = sizes
                assert sizes, "some"
        ''',
    "tools": """
        LIMIT = 1
        LIMIT += 1


        class Never:
            pass


        def used(x):
            return x * LIMIT


        def unused(x):
            return x
        """,
    "late": """
        from brainit.effects import harmless
        from brainit.features.registry import load_backbone


        def late(f, net):
            return load_backbone("vgg", "vgg16_bn")
        """,
    "effects": """
        import os

        os.environ["A"] = "1"


        def harmless():
            return 1
        """,
    "typing_only": "class Thing:\n    x = 1\n",
    "features/__init__": "",
    "features/registry": "def load_backbone(role, name):\n    return role\n",
    "features/loaders": """
        LOADERS: dict[str, dict[str, str]] = {
            "vgg": {"demo": "brainit.features.vgg:build", "vgg16_bn": "brainit.features.vgg:load"},
            "metric": {"lpips": "brainit.features.lpips:load"},
        }
        """,
    "features/vgg": "def load():\n    return 1\n\n\ndef build():\n    return 2\n",
    "features/lpips": "def load():\n    return 1\n",
}
"""A small package: module -> text."""
STEP = "brainit.steps.run"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "brainit" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return root


@pytest.fixture
def is_changed(tmp_path: Path) -> Callable[[str, str, str], bool]:
    """Return a function: whether an edit of the small package changes its step's digest."""
    before = code_digest(STEP, root=write(tmp_path, FILES))

    def edited(module: str, old: str, new: str) -> bool:
        assert FILES[module].count(old) == 1, (module, old)
        write(tmp_path, {module: FILES[module].replace(old, new)})
        return code_digest(STEP, root=tmp_path) != before

    return edited


REACHED = [
    ("steps/run", "sqrt(2)", "sqrt(3)"),
    ("steps/run", "from math import", "from numpy import"),
    ("models/inner", "return x", "return -x"),
    ("models/net", "WIDTH = 3", "WIDTH = 4"),
    ("models/net", "x + WIDTH", "x - WIDTH"),
    ("models/net", "class Net(Base)", "class Net"),
    ("models/net", "@dataclass", "@dataclass(frozen=True)"),
    ("models/net", "    depth: int = 2\n", ""),
    ("models/net", "width: int = 1", "width: float = 1"),
    ("models/net", "if x:", "if not x:"),
    ("models/net", "raise ValueError", "raise KeyError"),
    ("models/net", "assert sizes", "assert not sizes"),
    ("tools", "LIMIT += 1", "LIMIT += 2"),
    ("tools", "x * LIMIT", "x / LIMIT"),
    ("late", '"vgg", "vgg16_bn"', '"metric", "vgg16_bn"'),
    ("effects", '"A"', '"B"'),
    ("features/registry", "return role", "return name"),
    ("features/vgg", "return 1", "return 3"),
    ("features/vgg", "return 2", "return 3"),
    ("features/loaders", '"vgg16_bn": ', '"vgg19_bn": '),
]
NOT_REACHED = [
    ("steps/run", "Run.", "Go."),
    ("models/net", " -> Never", ' -> "int"'),
    ("models/net", '"Thing"', '"int"'),
    ("models/net", '"x is %s", x', '"x: %r", str(x)'),
    ("models/net", 'f"not {x}"', 'f"no {x}"'),
    ("models/net", '" now"', '"!"'),
    ("models/net", ', "some"', ""),
    ("models/net", "Make it.", "Make the network."),
    ("tools", "class Never:\n            pass", "class Never:\n            x = 1"),
    ("tools", "return x\n", "return -x\n"),
    ("effects", "return 1", "return 2"),
    ("typing_only", "x = 1", "x = 2"),
    ("features/lpips", "return 1", "return 2"),
    ("features/loaders", '"lpips": ', '"lpips_vgg": '),
]


@pytest.mark.parametrize(("module", "old", "new"), REACHED)
def test_what_is_reached_counts(
    module: str, old: str, new: str, is_changed: Callable[[str, str, str], bool]
) -> None:
    assert is_changed(module, old, new)


@pytest.mark.parametrize(("module", "old", "new"), NOT_REACHED)
def test_words_and_what_is_not_reached_do_not_count(
    module: str, old: str, new: str, is_changed: Callable[[str, str, str], bool]
) -> None:
    assert not is_changed(module, old, new)


@pytest.mark.parametrize(
    "call",
    ["load_backbone(role, 'a')", "load_backbone(role=role)", "registry.load_backbone(role, 'a')"],
)
def test_a_role_that_is_no_literal_counts_all_loaders(tmp_path: Path, call: str) -> None:
    late = (
        "from brainit.features import registry\nfrom brainit.features.registry import load_backbone"
    )
    write(tmp_path, {**FILES, "late": f"{late}\n\n\ndef late(role, net):\n    return {call}\n"})
    found = {line.split()[0] for line in Code(tmp_path).covered(STEP)}
    assert {"brainit.features.vgg:load", "brainit.features.lpips:load"} <= found


def test_a_message_that_does_something_counts(tmp_path: Path) -> None:
    def digest(line: str) -> str:
        text = f"import logging\nlogger = logging.getLogger()\n\n\ndef main(x):\n    {line}\n"
        return code_digest(STEP, root=write(tmp_path, {"steps/run": text}))

    assert digest('logger.info("%s", x.pop())') != digest('logger.info("%s", x)')
    assert digest('logger.info("%s", x.pop())') == digest('logger.info("now %s", x.pop())')
    assert digest("print(x)") != digest("print(-x)"), "only known log calls are left out"


def test_a_module_used_as_a_value_counts_whole(tmp_path: Path) -> None:
    whole = {
        "steps/run": "from brainit import tools\n\n\ndef main(key):\n    return vars(tools)[key]\n"
    }
    write(tmp_path, {**FILES, **whole})
    found = {line.split()[0] for line in Code(tmp_path).covered(STEP)}
    assert {"brainit.tools:unused", "brainit.tools:Never", "brainit.tools:LIMIT"} <= found


def test_a_definition_can_be_digested_alone(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    lines = Code(tmp_path).covered("brainit.models.inner:first", "brainit.tools:used")
    assert {line.split()[0] for line in lines} == {
        *("brainit.models.inner:first", "brainit.models.inner:_second"),
        *("brainit.tools:used", "brainit.tools:LIMIT"),
    }


def test_imports_decide_what_a_name_means(tmp_path: Path) -> None:
    def digest(imports: str, call: str) -> str:
        text = f"{imports}\n\n\ndef main(x):\n    return {call}\n"
        return code_digest(STEP, root=write(tmp_path, {"steps/run": text}))

    typing, other = "from typing import cast", "from numpy import cast"
    assert digest(typing, "cast(int, x)") == digest(typing, "cast(float, x)")
    assert digest(other, "cast(int, x)") != digest(other, "cast(float, x)")


def test_a_file_beside_a_module_counts_where_a_literal_names_it(tmp_path: Path) -> None:
    text = 'from pathlib import Path\nTABLE = Path(__file__).with_name("table.html")\n'
    write(tmp_path, {"steps/run": f"{text}\n\ndef main():\n    return TABLE\n"})
    folder, found = tmp_path / "brainit" / "steps", set()
    (folder / "other.html").write_text("1")
    for table in ("1", "2", '{% include "part.css" %}'):
        (folder / "table.html").write_text(table)
        found.add(code_digest(STEP, root=tmp_path))
    (folder / "other.html").write_text("2")
    assert code_digest(STEP, root=tmp_path) in found and len(found) == 3
    (folder / "part.css").write_text("1")
    assert code_digest(STEP, root=tmp_path) not in found


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_versions_of_python_agree(minor: int) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); {}"
    listing = "from brainit.workflow.digest import main; main([])"
    source = str(PACKAGE.parent)

    def lines(python: str, code: str) -> str:
        command = [python, "-c", program.format(code), source]
        return subprocess.run(command, capture_output=True, text=True).stdout

    python = shutil.which(f"python3.{minor}") or ""
    if not python or lines(python, "print(sys.version_info.minor)").strip() != str(minor):
        pytest.skip(f"no Python 3.{minor} on this machine")
    assert lines(python, listing) == lines(sys.executable, listing) != ""
