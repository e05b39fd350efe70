"""Every published number against the project's reference, where that is given; else its shape."""

import re
from pathlib import Path

import pytest

from brainit.evaluation.tables.rows import PaperTable, paper_table, paper_table_names

SECTIONS = {
    "table1": "### 3.1 Table 1",
    "t1": "T1 – external images",
    "t2": "T2 – clustering",
    "t3": "T3 – number of clusters",
    "t4": "T4 (full form of Table 2)",
    "t5": "T5 – BIT vs MLP",
    "t7": "T7 – transfer",
}
"""Sections of the reference that hold whole tables."""

ROW_NAMES = {"low-level only": "low-level only (DIP)"}


@pytest.fixture(scope="module")
def reference(shared_dir: Path) -> str:
    path = shared_dir / "reference" / "brain-it.md"
    if not path.is_file():
        pytest.skip(f"no reference at {path} (set BRAINIT_SHARED)")
    return path.read_text(encoding="utf-8")


def rows_below(text: str, start: str) -> dict[str, list[str]]:
    """Return row name -> cells of the first table after the line that begins with `start`."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(start))
    rows: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("|"):
            name, *cells = (cell.strip(" *ᵃ") for cell in line.strip("|").split("|"))
            rows[name] = cells
        elif rows:
            break
    return rows


def published_name(name: str, method: str, data: str) -> str:
    if name == "table1" and data == "1h":
        return f"{method.removesuffix(' 2024').removesuffix(' 2025')}, 1 h"
    return ROW_NAMES.get(method, method)


@pytest.mark.real
@pytest.mark.parametrize("name", list(SECTIONS))
def test_each_number_of_a_table_is_the_references(name: str, reference: str) -> None:
    found = rows_below(reference, SECTIONS[name])
    table = paper_table(name)
    data_rows = {
        row: cells for row, cells in found.items() if re.search(r"[.][0-9]{3}", str(cells))
    }
    assert len(data_rows) == len(table.rows)
    for row in table.rows:
        cells = data_rows[published_name(name, row.method, row.data)]
        if name == "table1":
            assert row.n_test == int(cells.pop(0))
        assert [float(cell) for cell in cells] == list(row.values.values()), row.method


@pytest.mark.real
def test_each_number_of_further_metrics_is_the_references(reference: str) -> None:
    line = next(line for line in reference.splitlines() if line.startswith("T6 –"))
    for row in paper_table("t6").rows:
        told = re.search(rf"{row.method} ([.][0-9/.]+[0-9])", line)
        assert told is not None, row.method
        assert [float(cell) for cell in told[1].split("/")] == list(row.values.values())


@pytest.mark.real
def test_each_number_of_retrieval_is_the_references(reference: str) -> None:
    line = next(line for line in reference.splitlines() if "(image / brain, 300-way)" in line)
    for row in paper_table("retrieval").rows:
        method = f"{row.method} 1 h" if row.data == "1h" else row.method
        told = re.search(rf"{method} ([0-9.]+)/([0-9]+[.][0-9])", line)
        assert told is not None, method
        assert [float(told[1]), float(told[2])] == list(row.values.values())


@pytest.mark.parametrize("name", paper_table_names())
def test_shape_of_each_table(name: str) -> None:
    table: PaperTable = paper_table(name)
    rows = [(row.method, row.data) for row in table.rows]
    assert len(set(rows)) == len(rows) > 1
    assert all(row.data in ("15min", "30min", "1h", "40h") for row in table.rows)
    assert all(row.n_test in (982, 1000) for row in table.rows)
    assert all(tuple(row.values) == table.metrics for row in table.rows)
    assert set(table.lower_is_better) <= set(table.metrics)
    assert all(0 < value <= 100 for row in table.rows for value in row.values.values())


def test_all_tables_of_the_paper_are_there() -> None:
    names = ("table1", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "retrieval")
    assert paper_table_names() == names
