"""Make `benchmarks.md` from the JSON lines of a run of the benchmarks (what `make bench` does at its end).

python docs/generate_benchmarks.py bench.jsonl
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "benchmarks.md"
PACKAGES = ("mosei-align", "numpy", "h5py", "pyarrow", "polars", "torch", "dask")

HEAD = """\
# Benchmarks

The last run of `make bench`. Every figure stands beside a peer or a limit that was measured in the same run, because
only the ratio means something on another machine. None of this is part of the tests: nothing fails for being slow.

```sh
mosei-align sample full/ --scale mosei --seed 1
mosei-align sample packed/ --videos 600 --seed 1 --gzip
mosei-align build --csd full/ --out full-parquet/ --policy masked
export MOSEI_BENCH_CORPUS=full/ MOSEI_BENCH_GZIP_CORPUS=packed/ MOSEI_BENCH_DATASET=full-parquet/
make bench
```

A ratio above what is wanted stands here as it is; it is work to be done. Warm figures need the files in the page cache:
from a cold disk the build is bound by reading, of which it does less than half of what its peer does. Without the
variables `make bench` makes small corpora of its own; then starting the processes outweighs the work. Builds and their
peers are run nine times in turns, and the medians compared: where a machine's speed swings, the quickest of many short
runs is a luckier draw than that of as many long ones.

"""


def main() -> None:
    """Write the page."""
    records = [json.loads(line) for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    lines = [HEAD + machine(), "", "| what | | beside | | ratio | wanted |", "|---|---:|---|---:|---:|---:|"]
    lines += [row(record) for record in records]
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")


def machine() -> str:
    """One paragraph on where the run took place."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text() if info.is_file() else "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    installed = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"Machine: {names[0] if names else platform.machine()}, {cores} cores, {memory:.0f} GB of memory, "
        f"{platform.system()}. Python {platform.python_version()}, {installed}."
    )


def row(record: dict[str, Any]) -> str:
    """One benchmark as a line of the table."""
    unit = record.get("unit", "s")
    limit = record.get("limit")
    wanted = f"&le; {limit:g}" if limit is not None else ""
    ours, peer = (number(record[name], unit) for name in ("value", "peer_value"))
    return f"| {record['benchmark']} | {ours} | {record['peer']} | {peer} | {record['ratio']:.2f} | {wanted} |"


def number(value: float, unit: str) -> str:
    """A figure with three digits that count."""
    return f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


if __name__ == "__main__":
    main()
