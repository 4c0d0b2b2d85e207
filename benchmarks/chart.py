"""A chart of the ratios: a bar for each row, how far its pairs are apart, and a mark where DESIGN.md wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_REACHED, _MISSED, _PLAIN = "#2f7d5b", "#b5533c", "#777777"


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw a result; the ending of the file's name says how: ``.svg`` or ``.png``.

    Raises:
        SystemExit: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("the chart needs matplotlib: pip install -e '.[benchmarks]'") from None
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "backalaika"  # the same figures give the same file
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    lines = [line for line in result["rows"] if "ratio" in line][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(lines) + 1.4), layout="constrained")
    for place, line in enumerate(lines):
        ratio, (low, high) = line["ratio"], line["ratio_spread"]
        color = {True: _REACHED, False: _MISSED, None: _PLAIN}[line["reached"]]
        axes.barh(place, ratio - 1, left=1, color=color, height=0.6)
        axes.plot([low, high], [place, place], color="black", linewidth=1)
        if line["wanted"] is not None:
            axes.plot([line["wanted"]] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2.5)
        axes.text(max(high, 1) * 1.06, place, f"{ratio:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(lines)), [f"{line['work']}\nagainst {line['against']}" for line in lines], fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("wall time, ours by theirs: less than 1 is faster; thin line: all pairs; thick mark: wanted")
    machine = result["machine"]
    memory = machine["memory"] / 2**30
    axes.set_title(
        f"{machine['cpus']} CPUs ({machine['cpu']}), {memory:.0f} GiB, {machine['python']}, {machine['date']}",
        fontsize=8,
    )
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
