"""A report as one HTML file that needs nothing else: plots are drawn in SVG, pictures are in it."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from bbcompress.images.picture import Picture
from bbcompress.train.report import EXAMPLES, NEW, Example, Report, verdict

THUMBNAIL_SIDE = 128
PLOT_WIDTH, PLOT_HEIGHT, MARGIN = 640, 260, 50
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: right } th:first-child,
td:first-child { text-align: left } tr.new { font-weight: bold; background: #e8f1e4 }
figure { display: inline-block; margin: .5em; text-align: center; font-size: 13px } img { image-rendering: pixelated }
svg text { font: 12px system-ui, sans-serif; fill: #444 }
"""


def html(report: Report) -> str:
    """The whole file."""
    rows = "".join(
        f"<tr{' class=new' * (size.coder == NEW)}><td>{escape(size.coder)}<td>{size.size_bytes:,}"
        f"<td>{8 * size.size_bytes / report.subpixels:.4f}<td>{_bar(size.size_bytes, report)}"
        for size in report.sizes
    )
    paragraphs = "".join(f"<p>{escape(line)}" for line in verdict(report))
    examples = report.examples
    count = min(EXAMPLES, len(examples) // 2)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(report.name)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(report.name)}</h1><p>Trained on {report.trained_pictures} images; {report.pictures} others were "
        f"held out and coded as files.{paragraphs}"
        f"<table><tr><th>coder<th>bytes<th>bits/dim<th>{rows}</table>"
        f"<h2>Held-out bits/dim while it learned</h2>{_curve(report)}"
        f"<h2>Where it is best</h2>{_figures(examples[:count], report.other)}"
        f"<h2>Where it is worst</h2>{_figures(examples[::-1][:count], report.other)}</html>\n"
    )


def _bar(size_bytes: int, report: Report) -> str:
    width = 200 * size_bytes / max(size.size_bytes for size in report.sizes)
    return f"<svg width=200 height=12><rect width={width:.0f} height=12 fill='#6a9'/></svg>"


def _curve(report: Report) -> str:
    points = report.curve
    if len(points) < 2:
        return "<p>Too short a run for a curve."
    marks = {size.coder: 8 * size.size_bytes / report.subpixels for size in report.sizes if size.coder != NEW}
    values = [point.corrected for point in points] + [points[-1].alone]
    low, high = min(values), max(values)
    near = {name: rate for name, rate in marks.items() if low - (high - low) <= rate <= high + (high - low)}
    low, high = min([low, *near.values()]), max([high, *near.values()])
    low, high = low - 0.05 * (high - low) - 1e-9, high + 0.05 * (high - low) + 1e-9
    last = max(point.minutes for point in points) or 1

    def x(minutes: float) -> float:
        return MARGIN + minutes / last * (PLOT_WIDTH - MARGIN - 170)

    def y(rate: float) -> float:
        return 10 + (high - rate) / (high - low) * (PLOT_HEIGHT - 40)

    lines = [f"<svg width={PLOT_WIDTH} height={PLOT_HEIGHT}>"]
    for rate in np.linspace(low, high, 5):
        lines.append(f"<text x=0 y={y(rate):.1f}>{rate:.3f}</text>")
    for minutes in np.linspace(0, last, 6):
        lines.append(f"<text x={x(minutes) - 8:.1f} y={PLOT_HEIGHT - 8}>{minutes:.3g}</text>")
    lines.append(f"<text x={x(last) + 14:.1f} y={PLOT_HEIGHT - 8}>minutes</text>")
    for name, rate in _apart(near, (high - low) / 18).items():
        height = f"{y(near[name]):.1f}"
        lines.append(
            f"<line x1={x(0):.1f} x2={x(last):.1f} y1={height} y2={height} stroke='#aaa' stroke-dasharray=4 />"
            f"<text x={x(last) + 4:.1f} y={y(rate) + 4:.1f}>{escape(name)}</text>"
        )
    path = " ".join(f"{x(point.minutes):.1f},{y(point.corrected):.1f}" for point in points)
    return "".join([*lines, f"<polyline points='{path}' fill=none stroke='#275' stroke-width=2 /></svg>"])


def _apart(rates: dict[str, float], least: float) -> dict[str, float]:
    """Where labels are put, so that none is on another."""
    found: dict[str, float] = {}
    for name, rate in sorted(rates.items(), key=lambda item: item[1]):
        found[name] = max(rate, max(found.values(), default=-np.inf) + least)
    return found


def _figures(examples: Sequence[Example], other: str) -> str:
    return "".join(
        f"<figure><img src='data:image/png;base64,{_thumbnail(example.picture)}'><figcaption>{example.own:.3f} bits/dim"
        f"<br>{escape(other)} {example.other:.3f}</figure>"
        for example in examples
    )


def _thumbnail(picture: Picture) -> str:
    pixels = picture.pixels
    if pixels.dtype == np.uint16:
        pixels = (pixels >> max(0, int(pixels.max()).bit_length() - 8)).astype(np.uint8)
    image = Image.fromarray(pixels * np.uint8(255) if picture.mode == "1" else pixels)
    scale = THUMBNAIL_SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()
