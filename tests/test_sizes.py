"""Files do not grow: what fixed inputs take, by every model and method."""

import csv

import pytest
from sizes import TABLE, sizes

TOLERANCE = 0.0005
"""Predictors are fitted in floats, and so may differ by a few bits between machines."""


def test_sizes_are_as_they_were() -> None:
    """`python tests/sizes.py` writes the table where a change was meant."""
    with TABLE.open(newline="") as lines:
        known = {row["what"]: int(row["bytes"]) for row in csv.DictReader(lines, delimiter="\t")}
    assert dict(sizes()) == pytest.approx(known, rel=TOLERANCE)
