"""CPU seconds by rule, from made-up benchmark files."""

from pathlib import Path

import pytest
from tests.refusals import refused

from brainit.commands.program import run

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def benchmark(results: Path, name: str, wall: object, rss: object, cpu: object) -> None:
    path = results / "benchmarks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}{wall}\t0:00:01\t{rss}\t1\t1\t1\t0\t0\t50\t{cpu}\n")


def test_rules_by_cpu_seconds_and_their_sum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now, before = tmp_path / "now", tmp_path / "before"
    benchmark(now, "evaluate/a.tsv", 9.0, 300, 4.0)
    benchmark(now, "evaluate/b.tsv", 8.0, 420, 3.5)
    benchmark(now, "train_encoder/all.tsv", 90.0, 560, 80.25)
    benchmark(now, "download.tsv", 0.2, "NA", "NA")
    benchmark(before, "evaluate/a.tsv", 9.0, 300, 10.0)
    benchmark(before, "old_rule.tsv", 9.0, 300, 2.0)
    run(["costs", str(now)])
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[1:] == [
        ["train_encoder", "1", "80.2", "90.0", "560"],
        ["evaluate", "2", "7.5", "9.0", "420"],
        ["download", "1", "0.0", "0.2", "0"],
        ["all", "rules", "4", "87.8", "90.0", "560"],
    ]
    run(["costs", str(now), str(before)])
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["evaluate"][-2:] == ["10.0", "-2.5"]
    assert rows["old_rule"][1:] == ["0", "0.0", "0.0", "0", "2.0", "-2.0"]
    assert rows["all"][-2:] == ["12.0", "+75.8"]


def test_a_folder_without_benchmarks_is_refused(tmp_path: Path) -> None:
    with refused("missing-file", str(tmp_path)):
        run(["costs", str(tmp_path)])
