"""Write one table as .csv (tidy), .md, .html and .tex, all with the same cells."""

import html
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from brainit.core.artifacts import write_table
from brainit.core.files import write_text
from brainit.evaluation.metrics.names import direction_of


@dataclass(frozen=True)
class Block:
    """A grid of text: each row has a cell per column; the first cell names the row."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """Blocks of text under one title, and the same numbers as tidy `records`."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    records: pd.DataFrame
    notes: tuple[str, ...] = field(default=())


def write_table_files(folder: Path, table: Table) -> None:
    """Write `<folder>/<name>/<name>.{csv,md,html,tex}`."""
    stem = folder / table.name / table.name
    write_table(stem.with_suffix(".csv"), table.records)
    write_text(stem.with_suffix(".md"), as_markdown(table))
    write_text(stem.with_suffix(".html"), as_html(table))
    write_text(stem.with_suffix(".tex"), as_latex(table))


def as_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown; numbers are right-aligned."""
    lines = [f"# {table.title}", ""]
    for block in table.blocks:
        lines += [f"**{block.heading}**", "", _markdown_row(block.columns)]
        lines.append("| :-- |" + " --: |" * (len(block.columns) - 1))
        lines += [_markdown_row(row) for row in block.rows]
        lines.append("")
    lines += [f"- {note}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_html(table: Table) -> str:
    """Return the table as one HTML section, which the report includes."""
    parts = ["<section>", f"<h2>{html.escape(table.title)}</h2>"]
    for block in table.blocks:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.columns)
        parts += [f"<h3>{html.escape(block.heading)}</h3>", "<table>", f"<tr>{head}</tr>"]
        for row in block.rows:
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            parts.append(f"<tr>{cells}</tr>")
        parts.append("</table>")
    if table.notes:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
        parts.append(f"<ul>{notes}</ul>")
    return "\n".join([*parts, "</section>"]) + "\n"


def as_latex(table: Table) -> str:
    """Return the table as LaTeX; the document must load booktabs."""
    parts = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.title)}}}"]
    for block in table.blocks:
        layout = "l" + "r" * (len(block.columns) - 1)
        parts += [rf"\par\medskip {_latex(block.heading)}\par", rf"\begin{{tabular}}{{{layout}}}"]
        parts += [r"\toprule", _latex_row(block.columns), r"\midrule"]
        parts += [_latex_row(row) for row in block.rows]
        parts += [r"\bottomrule", r"\end{tabular}"]
    parts += [rf"\par\footnotesize {_latex(note)}" for note in table.notes]
    return "\n".join([*parts, r"\end{table}"]) + "\n"


def _latex_row(cells: tuple[str, ...]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


_LATEX = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "−": "$-$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "–": "--",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text)


NO_VALUE = "–"


def with_arrow(metric: str) -> str:
    """Return a metric's name with an arrow in its better direction."""
    return f"{metric} {'↓' if direction_of(metric) == 'lower' else '↑'}"


def format_score(metric: str, value: float, sign: bool = False) -> str:
    """Return a score as text: one decimal for percentages, else three; a dash for NaN."""
    if np.isnan(value):
        return NO_VALUE
    is_percent = metric.startswith(("Alex(", "Incep")) or metric == "CLIP"
    is_percent = is_percent or metric.endswith(("way", "retrieval"))
    n_decimals = 1 if is_percent else 3
    text = f"{value:+.{n_decimals}f}" if sign else f"{value:.{n_decimals}f}"
    return text.replace("-", "−")


def format_interval(metric: str, low: float, high: float) -> str:
    """Return an interval as text; a dash for NaN."""
    if np.isnan(low):
        return NO_VALUE
    return f"{format_score(metric, low)} to {format_score(metric, high)}"


def format_p(value: float) -> str:
    """Return a p-value as text: "p < 0.001", "p = 0.032", or a dash for NaN."""
    if np.isnan(value):
        return f"p {NO_VALUE}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
