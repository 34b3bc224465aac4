"""PNG's rows: filtered, and their filters undone (PNG specification, section 9)."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from bbcompress.images.errors import NotWhole

Rows = npt.NDArray[np.uint8]
"""``(H, B)``: the bytes of each row."""
#: Rows are filtered in bands, so that memory stays small.
_BAND_BYTES = 1 << 20
#: Of the rows, from the middle, that say whether filters help.
_TRIAL_BYTES = 1 << 18


def unfilter(data: bytes, height: int, row_bytes: int, step: int) -> Rows:
    """The rows of inflated image data, ``height * (1 + row_bytes)`` bytes; ``step`` bytes lie between neighbours.

    A filtered byte depends on its left neighbour and on those above, so bytes are undone diagonal by diagonal: all of
    a diagonal at once. Raises :class:`NotWhole` where a row has an unknown filter.
    """
    filtered = np.frombuffer(data, np.uint8).reshape(height, 1 + row_bytes)
    kinds = filtered[:, 0]
    if kinds.max() > 4:
        raise NotWhole("damaged PNG: unknown filter")
    rows = filtered[:, 1:].copy()
    # What depends on nothing but left neighbours, or on the row above, needs no diagonals
    if (kinds <= 2).all():
        for number in np.flatnonzero(kinds == 1):
            _undo_left(rows[number], step)
        for number in np.flatnonzero(kinds == 2):
            if number:
                rows[number] += rows[number - 1]
        return rows
    columns = -(-row_bytes // step)
    # One row above and one column to the left are zero; rows are padded to whole neighbours
    work = np.zeros((height + 1, columns + 1, step), np.uint8)
    padded = np.zeros((height, columns * step), np.uint8)
    padded[:, :row_bytes] = rows
    work[1:, 1:] = padded.reshape(height, columns, step)
    masks = [(kinds == kind)[:, None] for kind in range(5)]
    for diagonal in range(height + columns - 1):
        top, bottom = max(0, diagonal - columns + 1), min(height, diagonal + 1)
        y = np.arange(top, bottom)
        x = diagonal - y
        left = work[y + 1, x].astype(np.int16)
        up = work[y, x + 1].astype(np.int16)
        corner = work[y, x].astype(np.int16)
        of = [mask[top:bottom] for mask in masks]
        added = np.where(of[1], left, np.where(of[2], up, np.where(of[3], (left + up) >> 1, 0)))
        added = np.where(of[4], _paeth(left, up, corner), added)
        work[y + 1, x + 1] += added.astype(np.uint8)
    return np.ascontiguousarray(work[1:, 1:].reshape(height, -1)[:, :row_bytes])


def _undo_left(row: npt.NDArray[np.uint8], step: int) -> None:
    for first in range(step):
        np.cumsum(row[first::step], dtype=np.uint8, out=row[first::step])


def _paeth(
    left: npt.NDArray[np.int16], up: npt.NDArray[np.int16], corner: npt.NDArray[np.int16]
) -> npt.NDArray[np.int16]:
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)


def filter_rows(rows: Rows, step: int) -> bytes:
    """Image data to deflate, which :func:`unfilter` undoes: each row has the filter of the least differences."""
    height, row_bytes = rows.shape
    out = np.empty((height, 1 + row_bytes), np.uint8)
    band = max(1, _BAND_BYTES // row_bytes)
    for top in range(0, height, band):
        here = rows[top : top + band]
        above = np.zeros_like(here)
        above[1:] = here[:-1]
        if top:
            above[0] = rows[top - 1]
        left, corner = np.zeros_like(here), np.zeros_like(here)
        left[:, step:], corner[:, step:] = here[:, :-step], above[:, :-step]
        wide = [part.astype(np.int16) for part in (left, above, corner)]
        predicted = [np.uint8(0), left, above, (wide[0] + wide[1]) >> 1, _paeth(*wide)]
        choices = np.stack([here - np.asarray(one, np.uint8) for one in predicted])
        sums = np.abs(choices.view(np.int8).astype(np.int16)).sum(2, dtype=np.int64)
        best = sums.argmin(0)
        out[top : top + band, 0] = best
        out[top : top + band, 1:] = choices[best, np.arange(len(here))]
    return out.tobytes()


def plain_rows(rows: Rows, step: int) -> bytes:
    """The same without filters, whatever the step."""
    height, row_bytes = rows.shape
    out = np.zeros((height, 1 + row_bytes), np.uint8)
    out[:, 1:] = rows
    return out.tobytes()


def deflate_rows(rows: Rows, step: int) -> bytes:
    """Image data as a zlib stream, with filters where these help: with few colours they do not."""
    if rows.size <= _TRIAL_BYTES:
        return min((zlib.compress(way(rows, step), 9) for way in (filter_rows, plain_rows)), key=len)
    count = max(1, _TRIAL_BYTES // (1 + rows.shape[1]))
    middle = rows[max(0, (len(rows) - count) // 2) :][:count]
    way = min((filter_rows, plain_rows), key=lambda way: len(zlib.compress(way(middle, step), 1)))
    return zlib.compress(way(rows, step), 9 if rows.size < 1 << 20 else 4)
