"""The README's pictures, of results of photographs.py and peers.py: docs/images/rate-time.png, docs/images/bytes.png.

python benchmarks/plots.py
"""

import json
from pathlib import Path
from typing import Any

import matplotlib
from common import RESULTS

matplotlib.use("Agg")
from matplotlib import pyplot

IMAGES = Path(__file__).parent.parent / "docs" / "images"
OURS, OTHERS = "tab:red", "tab:blue"
SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5)
BARS = {"PNG": "0.75", "WebP lossless": "0.6", "JPEG XL -e 9": OTHERS, "bbc": OURS}
"""Coders of the bars, and their colours."""
SETS = {
    "binary": "black and white digits",
    "grey": "grey digits",
    "colour": "thumbnails (CIFAR-10)",
    "reduced": "photographs, reduced",
    "photographs": "photographs",
}


def rows_of(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text())["rows"]
    return rows


def rate_against_time() -> None:
    """Photographs, each a file: bits per dimension against seconds, a panel for each direction."""
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, direction in zip(axes, ("compress", "decompress"), strict=True):
        for row in rows_of("photographs"):
            coder = row["coder"].partition(" --engine")[0]
            point = row[f"{direction}_s"], row["bits_per_dim"]
            ours = coder.startswith("bbc")
            axis.plot(*point, "o", color=OURS if ours else OTHERS)
            axis.annotate(coder, point, textcoords="offset points", xytext=(6, 4), fontsize=8)
        axis.set(xscale="log", xlim=(0.04, 5), xlabel=f"seconds a photograph to {direction}")
        axis.margins(y=0.2)
        axis.set_xticks(SECONDS, map(str, SECONDS))
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    axes[0].set(ylabel="bits per dimension")
    figure.savefig(IMAGES / "rate-time.png", dpi=110)


def bytes_of_folders() -> None:
    """What each set takes by each coder, in per cent of PNG: the better way of one file each or one of all."""
    rates: dict[str, dict[str, float]] = {}
    for row in rows_of("peers"):
        of_set = rates.setdefault(row["set"], {})
        if row["coder"] in BARS and (row["coder"] != "PNG" or row["form"] == "files"):
            of_set[row["coder"]] = min(row["bits_per_dim"], of_set.get(row["coder"], float("inf")))
    names = [name for name in SETS if name in rates]
    figure, axis = pyplot.subplots(figsize=(9, 0.9 + 0.75 * len(names)), layout="constrained")
    for number, (coder, colour) in enumerate(BARS.items()):
        shares = [100 * rates[name][coder] / rates[name]["PNG"] for name in names]
        places = [place + 0.2 * (number - 1.5) for place in range(len(names))]
        drawn = axis.barh(places, shares, 0.19, color=colour, label=coder)
        axis.bar_label(drawn, [f"{share:.0f} %" for share in shares], padding=2, fontsize=8)
    axis.set_yticks(range(len(names)), [SETS[name] for name in names])
    axis.invert_yaxis()
    axis.set(xlabel="bytes, in per cent of a folder of PNG files", xlim=(0, 112))
    figure.legend(fontsize=8, loc="outside upper center", ncols=len(BARS))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.savefig(IMAGES / "bytes.png", dpi=110)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    rate_against_time()
    bytes_of_folders()
