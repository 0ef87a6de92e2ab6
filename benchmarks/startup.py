"""Whole processes, from nothing to the last line: python -m benchmarks.startup [--repeat N]. Prints Markdown."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

_CLICK = "import click; click.Command('x', params=[click.Option(['--y'])]).main(['--help'], standalone_mode=False)"
_GRADCHECK = [sys.executable, "-m", "gradcheck_cli"]
PROCESSES = {
    "python": [sys.executable, "-c", ""],
    "import numpy": [sys.executable, "-c", "import numpy"],
    "bare click, --help": [sys.executable, "-c", _CLICK],
    "gradcheck --help": [*_GRADCHECK, "--help"],
    "gradcheck run --help": [*_GRADCHECK, "run", "--help"],
    "gradcheck run matmul --shape 2,3,4,5": [*_GRADCHECK, "run", "matmul", "--shape", "2,3,4,5"],
    "gradcheck run": [*_GRADCHECK, "run"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for turn in range(options.repeat):  # In turn, so that a busy moment hits all of them.
        for name, command in PROCESSES.items():
            if name == "gradcheck run" and turn >= 3:
                continue
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)  # noqa: S603
            times[name].append(time.perf_counter() - start)
    medians = {name: 1e3 * statistics.median(found) for name, found in times.items()}
    print("| process | median, ms | x bare click | x import numpy |")
    print("|---|---|---|---|")
    for name, ms in medians.items():
        click, numpy = ms / medians["bare click, --help"], ms / medians["import numpy"]
        print(f"| {name} | {ms:.0f} | {click:.2f} | {numpy:.2f} |")


if __name__ == "__main__":
    main()
