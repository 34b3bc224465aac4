"""The harnesses of tests/fuzz/ run, and what they begin with, somewhat mutated, is no fault."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

import container
import images
import model
from fuzzing import blindly

from bbcompress.images import DamagedImage, Picture, file_bytes
from bbcompress.images.metadata import Format, Metadata


@pytest.mark.parametrize("harness", [container, images, model])
def test_harnesses(harness, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeds = list(harness.seeds().values())[::3]
    blindly(seeds, harness.check, float("inf"), len(seeds) + 100)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_written_down(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        blindly([b"ab"], lambda data: 1 // (len(data) - 2), 60, 1)
    (found,) = tmp_path.glob("crash-*")
    assert found.read_bytes() == b"ab"


@pytest.mark.parametrize("body", [b"\xf8\xf8\0\0\0IDAT", b"\x08", b"\x08\0\0\0", b"\x08\0\1\0\0IDAT"])
def test_png_metadata_of_no_kind(body):
    """Found by container.py: a traceback."""
    with pytest.raises(DamagedImage):
        file_bytes(Picture("L", np.zeros((2, 2), np.uint8), Metadata(Format.PNG, body)))
