"""Dry runs of the workflow: their commands, the jobs they print, and their pins.

`pinned/NAME.txt` holds all that a dry run says of its jobs. Write these files anew, after a change
of the rules or of the settings that is meant, and review their diff::

    python -m tests.workflow.dry_runs --update

Without `--update` it shows how the dry runs differ from the files.
"""

import argparse
import difflib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.lab_folder import write_lab_folder
from tests.run_folder import link_repository

Job = dict[str, Any]
"""A job as a dry run prints it: `rule` and `command`, lists `input` and `output`, and `log`,
`benchmark`, `wildcards`, `priority`, `threads` and `resources` where the dry run prints them."""

DRY = ("--cores", "64", "--dry-run", "--forceall", "--printshellcmds", "--workflow-profile", "none")
"""All jobs of a target, on more cores than any job asks for."""
DEMO = ("--configfile", "config/demo.yaml")
DEMO_FULL = (*DEMO, "config/demo-full.yaml")
LAB = ("--config", 'lab={"labsub":"lab"}')
"""A lab subject; `make_run_folder` writes its folder."""
PINNED = {
    "paper_all": ("all",),
    "paper_everything": ("everything",),
    "paper_recon_1h": ("results/subj01/recon_1h",),
    "paper_recon_1h_lowlevel": ("results/subj01/recon_1h_lowlevel",),
    "authors_recon_40h": ("results/subj01/recon_40h", "--config", "models=authors"),
    "demo_all": ("all", *DEMO),
    "demo_full_everything": ("everything", *DEMO_FULL),
    "lab_recon_1h": ("results/demo/labsub/recon_1h", *DEMO, *LAB),
}
"""Name of a pinned file -> target and configuration of its dry run."""
FOLDER = Path(__file__).parent / "pinned"
UPDATE = "python -m tests.workflow.dry_runs --update"
NOT_PINNED = {"jobid", "reason"}
MOST_DIFFERENCES = 60
LINE_WIDTH = 100
SUBJECT = r"subj0[1-8]"


def make_run_folder(repository: Path, root: Path) -> Path:
    """Make `root` a folder to run in, without results and with a lab subject's; return it."""
    link_repository(repository, root)
    write_lab_folder(root / "lab")
    return root


def call_snakemake(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call snakemake in `root`, as a user would; return the finished process."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(root / "pipeline_src")
    command = [sys.executable, "-m", "snakemake", *words]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def parse_jobs(text: str) -> list[Job]:
    """Return the jobs that a dry run prints, in its order."""
    jobs: list[Job] = []
    for line in text.splitlines():
        if head := re.match(r"(?:local)?rule (\w+):$", line):
            jobs.append({"rule": head[1], "input": [], "output": []})
        elif not jobs:
            continue
        elif command := re.match(r"Shell command: (.*)$", line):
            if command[1] != "None":
                jobs[-1]["command"] = command[1]
        elif item := re.match(r"    (\w+): (.*)$", line):
            is_list = item[1] in ("input", "output")
            jobs[-1][item[1]] = item[2].split(", ") if is_list else item[2]
    return jobs


def pinned_text(text: str) -> str:
    """Return all that a dry run prints of its jobs, the same on every machine and in any order.

    Jobs of a rule that differ only by their wildcards stand together: their lines have `{wildcard}`
    in place of its value and `{rule}` in place of the rule's name. So do paths that differ only by
    their subject, `<s>`. Each of a rule's settings stands once. Rules are in the order of their
    outputs, which the name of a rule does not change.
    """
    by_rule: dict[str, list[Job]] = {}
    for job in parse_jobs(text):
        by_rule.setdefault(job["rule"], []).append(job)
    rules = sorted(by_rule, key=lambda rule: (_place(by_rule[rule]), rule))
    lines = [line for rule in rules for line in _rule_lines(rule, by_rule[rule])]
    temporary = re.findall(r"^Would remove temporary output (.*)$", text, flags=re.MULTILINE)
    lines += ["temporary outputs", *(f"    {path}" for path in sorted(temporary))]
    return "\n".join(lines) + "\n"


def difference(name: str, text: str) -> str:
    """Return how the text of a dry run differs from the file pinned by `name`; empty where not."""
    path = FOLDER / f"{name}.txt"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = pinned_text(text)
    found = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"pinned/{name}.txt", "dry run", lineterm="", n=2
    )
    lines = [line if len(line) < 200 else f"{line[:200]} ..." for line in found]
    if len(lines) > MOST_DIFFERENCES:
        more = f"... and {len(lines) - MOST_DIFFERENCES} lines more"
        lines = [*lines[:MOST_DIFFERENCES], more]
    return "\n".join(lines)


def _place(jobs: Iterable[Job]) -> tuple[bool, list[str]]:
    """Return the sort key of rules and their groups: the first output; rules without come last."""
    outputs = min((job["output"] for job in jobs if job["output"]), default=[])
    return not outputs, outputs


def _rule_lines(rule: str, jobs: list[Job]) -> list[str]:
    """Return the pinned lines of all jobs of a rule."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job["output"], job.get("wildcards", ""))):
        groups.setdefault(_job_lines(job), []).append(job)
    ordered = sorted(groups, key=lambda lines: (_place(groups[lines]), lines))
    settings = list(dict.fromkeys(line for lines in ordered for line in lines if _is_json(line)))
    numbers = {told: f"    --settings <settings {k}>" for k, told in enumerate(settings, start=1)}
    found = [f"rule {rule} ({len(jobs)})"]
    for k, told in enumerate(settings, start=1):
        sections = json.loads(told)
        found.append(f"  settings {k}")
        found += [f"    {name}: {json.dumps(sections[name])}" for name in sorted(sections)]
    for k, lines in enumerate(ordered, start=1):
        found.append(f"  jobs {k}")
        found += sorted(f"    {job.get('wildcards', 'no wildcards')}" for job in groups[lines])
        found += [numbers.get(line, line) for line in lines]
    return [*found, ""]


def _is_json(line: str) -> bool:
    return line.startswith("{")


def _job_lines(job: Job) -> tuple[str, ...]:
    """Return the pinned lines of a job without its wildcards; its settings are a line of JSON."""
    names = _names_of_values(job)
    lines = []
    for key in ("input", "output"):
        paths = _folded([_with_names(path, names) for path in job[key]])
        lines += [f"  {key}", *(f"    {path}" for path in paths)]
    said = set(job) - NOT_PINNED - {"rule", "wildcards", "input", "output", "command"}
    for key in sorted(said):
        value = _resources(job[key]) if key == "resources" else _with_names(job[key], names)
        lines.append(f"  {key}: {value}")
    if "command" in job:
        lines += ["  command", *_command_lines(job["command"], names)]
    return tuple(lines)


def _resources(said: str) -> str:
    """Return resources in the order of their names, without the machine's temporary folder."""
    return re.sub(r"\btmpdir=[^,]*", "tmpdir=<tmp>", ", ".join(sorted(said.split(", "))))


def _command_lines(command: str, names: Mapping[str, str]) -> list[str]:
    """Return a command by flag, its many words by line; the digest of the code is left out."""
    command = re.sub(r"(?<= --code )[0-9a-f]{16}\b", "<code>", command)
    lines = []
    for part in re.split(r" (?=--[a-z]|&> )", command):
        flag, _, value = part.partition(" ")
        told = shlex.split(value) if flag == "--settings" else []
        if len(told) == 1 and told[0] == json.dumps(json.loads(told[0]), sort_keys=True):
            lines.append(told[0])
            continue
        named = _with_names(part, names).rstrip()
        first, *others = [named] if len(named) < LINE_WIDTH else named.split(" ")
        lines += [f"    {first}", *(f"        {word}" for word in _folded(others))]
    return lines


def _folded(texts: Iterable[str]) -> list[str]:
    """Return texts with one in place of neighbours that are the same but for their subject."""
    found: list[tuple[str, list[str]]] = []
    for text in texts:
        subjects = sorted(set(re.findall(SUBJECT, text)))
        pattern = text.replace(subjects[0], "<s>") if len(subjects) == 1 else text
        if "<s>" in pattern and found and found[-1][0] == pattern:
            found[-1][1].extend(subjects)
        else:
            found.append((pattern, subjects if "<s>" in pattern else []))
    return [
        f"{pattern}  <s>: {' '.join(subjects)}"
        if len(subjects) > 1
        else pattern.replace("<s>", "".join(subjects))
        for pattern, subjects in found
    ]


def _names_of_values(job: Job) -> dict[str, str]:
    """Return pattern of a value -> name of the wildcard that has it; longer values first."""
    pairs = re.findall(r"(\w+)=([^,]+)", job.get("wildcards", ""))
    names = {rf"(?<!\w){job['rule']}(?!\w)": "{rule}"}
    for name, value in sorted(pairs, key=lambda pair: -len(pair[1])):
        start = rf"(?:(?<=_)|(?<=--{name} ))" if value.isdigit() else "(?<![A-Za-z0-9])"
        names.setdefault(f"{start}{re.escape(value)}(?![A-Za-z0-9])", f"{{{name}}}")
    return names


def _with_names(text: str, names: Mapping[str, str]) -> str:
    """Return a text with names of wildcards for their values; each value can be told from it."""
    assert not set("{<") & set(text.replace("<code>", "")), f"a pin would be ambiguous: {text}"
    patterns, found = list(names), list(names.values())
    any_of = "|".join(f"({pattern})" for pattern in patterns)
    return re.sub(any_of, lambda match: found[(match.lastindex or 0) - 1], text)


def job_counts(output: str) -> Counter[str]:
    """Return rule -> number of jobs from the table of a dry run."""
    table = output.split("Job stats:")[1].split("\n\n")[0]
    rows = re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.MULTILINE)
    return Counter({rule: int(count) for rule, count in rows})


def main() -> int:
    """Write the pinned files, or show how they differ; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--update", action="store_true", help="write the pinned files anew")
    is_update, status = parser.parse_args().update, 0
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = make_run_folder(Path(__file__).resolve().parents[2], Path(folder) / "run")
        for name, words in PINNED.items():
            result = call_snakemake(root, *words, *DRY)
            text = result.stdout + result.stderr
            if result.returncode:
                sys.exit(text)
            if found := difference(name, text):
                print(found)
                status = 0 if is_update else 1
            if is_update:
                (FOLDER / f"{name}.txt").write_text(pinned_text(text), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
