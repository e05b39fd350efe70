"""Keep what the digest needs of the package's modules, so that each text is parsed once.

It takes most of the time in which Snakemake reads the rules. The file is one per copy of the
package, in the user's cache folder as Snakemake's own (`$XDG_CACHE_HOME`, else `~/.cache`). An
entry holds for exactly one text of its module, and the file for exactly one text of the digest's
code. Where the folder cannot be written, every process parses anew.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_MAKERS = ("digest.py", "normal_form.py", "parsed_modules.py")
"""The code that decides what is kept."""


class ParsedModules:
    """Plain values by module name, each with the digest of the text it was made of."""

    def __init__(self, folder: Path | None = None) -> None:
        makers = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in _MAKERS)
        self._made_by = f"{sys.implementation.cache_tag} {_digest(makers)}"
        name = f"parsed_{_digest(str(_FOLDER))[:16]}.json"
        self._path: Path | None = None
        self._kept: dict[str, list[Any]] = {}
        self._is_new = False
        try:
            self._path = (folder or _cache_folder()) / name
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["made_by"] == self._made_by:
                self._kept = dict(kept["modules"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            pass  # none yet, damaged, or a user without a home: modules are parsed anew

    def get(self, module: str, text: str) -> Any:
        """Return the value of a module with this text; None where there is none."""
        kept = self._kept.get(module)
        return kept[1] if kept and kept[0] == _digest(text) else None

    def put(self, module: str, text: str, value: Any) -> None:
        """Keep the value of a module with this text."""
        self._kept[module] = [_digest(text), value]
        self._is_new = True

    def save(self) -> None:
        """Write what is new, whole or not at all."""
        if not self._is_new or self._path is None:
            return
        self._is_new = False
        content = json.dumps({"made_by": self._made_by, "modules": self._kept})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
            with open(handle, "w", encoding="utf-8") as file:
                file.write(content)
            os.replace(name, self._path)
        except OSError:
            pass  # a folder that is not ours to write


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "brainit"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
