"""Files do not grow: what fixed inputs take, by every model and method."""

import csv

import pytest
from sizes import TABLE, sizes

TOLERANCE = 0.0005
"""Stored pictures take a few bytes more or less by other versions of libraries."""


def test_sizes_are_as_they_were() -> None:
    """`python tests/sizes.py` writes the table where a change was meant."""
    with TABLE.open(newline="") as lines:
        known = {row["what"]: int(row["bytes"]) for row in csv.DictReader(lines, delimiter="\t")}
    assert dict(sizes()) == pytest.approx(known, rel=TOLERANCE)
