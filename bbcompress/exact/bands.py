"""Running 8-bit networks over pictures of any size: in bands of rows, which give what the whole picture would."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcompress.exact.engine import Engine
from bbcompress.exact.int8 import Bytes, Network

PLACES = 1 << 16
"""Of at most about as many a network is run at once: memory is bounded by it, about 4 bytes a place and channel."""
MARGIN_SHARE = 4
"""Bands are not cut narrower, for the sake of more threads, than this many times what is computed twice at one side."""


class Band(NamedTuple):
    """Rows of a picture, and what a network must see for them."""

    rows: slice
    """Of the picture, wanted."""
    seen: slice
    """Of the picture: those and a margin, as far as there is one."""
    inside: slice
    """Of what is seen: the wanted ones."""


def bands(height: int, rows: int, radius: int) -> list[Band]:
    """Bands of `rows` rows for a network that sees `radius` rows beyond a place."""
    found = []
    for first in range(0, height, rows):
        last = min(first + rows, height)
        seen = slice(max(first - radius, 0), min(last + radius, height))
        found.append(Band(slice(first, last), seen, slice(first - seen.start, last - seen.start)))
    return found


def run_in_bands(engine: Engine, network: Network, x: Bytes, rows: int | None = None) -> NDArray[Any]:
    """The network's outputs (N, H, W, outputs) for bytes (N, H, W, inputs), computed on all of the engine's threads.

    `rows` of each image are computed at once: by default, as many as keep memory bounded and all threads busy. They
    make no difference to the result.
    """
    count, height, width, _ = x.shape
    y = np.empty((count, height, width, network.outputs), network.output_type)
    if y.size == 0:
        return y
    run = engine.prepared(network, network.multiply_adds * count * height * width)
    images = max(1, min(-(-count // engine.threads), PLACES // (height * width)))
    if rows is None:
        threads = max(1, engine.threads // count)
        narrowest = max(1, MARGIN_SHARE * network.radius)
        rows = min(max(-(-height // threads), narrowest), max(PLACES // width, 1))
    parts = [slice(first, first + images) for first in range(0, count, images)]

    def compute(part: tuple[slice, Band]) -> None:
        of, band = part
        y[of, band.rows] = run(x[of, band.seen])[:, band.inside]

    engine.map(compute, [(of, band) for of in parts for band in bands(height, rows, network.radius)])
    return y
