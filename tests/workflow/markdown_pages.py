"""The Markdown pages of the repository: their blocks, commands, links and anchors."""

import re
import shlex
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = ("make", "snakemake", "brainit", "pytest", "python", "pip", "source", "git", "cd")
PROGRAMS += ("apptainer", "conda", "docker", "sbatch", "snakedeploy", "export", "jupyter")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return the Markdown pages that git tracks, or would track."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / name for name in listed.stdout.split() if (REPOSITORY / name).is_file()]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and content of each fenced block."""
    return _FENCE.findall(page.read_text(encoding="utf-8"))


def prose(page: Path) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path, whole_blocks: tuple[str, ...]) -> list[str]:
    """Return a page's commands: lines of `bash` blocks, and words in backticks.

    Words in backticks are a command if they start with a program and have an argument. Blocks whose
    first line is one of `whole_blocks` are left out. Comments are cut, continued lines joined.
    """
    found = []
    for language, block in blocks(page):
        if language == "bash" and block.splitlines()[0] not in whole_blocks:
            found += re.sub(r"\\\n\s*", "", block).splitlines()
    for span in re.findall(r"`([^`]+)`", prose(page)):
        words = span.split()
        if len(words) > 1 and words[0] in PROGRAMS:
            found.append(span)
    return [shlex.join(words) for line in found if (words := shlex.split(line, comments=True))]


def links(page: Path) -> list[str]:
    """Return the targets within the repository that a page links to or shows."""
    text = prose(page)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    return [target for target in found if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}
