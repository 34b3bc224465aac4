"""A decoder written from docs/FORMAT.md alone finds in every file what bbcompress finds."""

import ast
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import FILES, facts
from methods import cases, coarse_to_fine, models
from PIL import Image
from second_decoder import functions, predictor, vp8l
from second_decoder.container import Entry, Unsupported, read
from second_decoder.models import MissingModel, Models
from second_decoder.reading import Damaged

from bbcompress.archive.payload import pictures_digest
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.single import pack_single
from bbcompress.codec.general_tables import TABLES
from bbcompress.codec.registry import shipped_models
from bbcompress.images.picture import Picture

EXPECTED = json.loads((FILES / "expected.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def shipped() -> Models:
    return Models(shipped_models(), FILES)


@pytest.fixture(scope="module")
def made() -> Models:
    return Models(models().files[0].parent)


def found_facts(entry: Entry) -> dict[str, object]:
    """As `helpers.facts` of a picture or kept file."""
    if isinstance(entry.item, bytes):
        return {"name": entry.name.decode().split("/")[-1], "file": hashlib.sha256(entry.item).hexdigest()}
    format, body = entry.metadata
    about = {"metadata": (bytes([format]) + body).hex()} if format or body else {}
    header, pixels = entry.item.header, entry.item.pixel_bytes()
    return about | {
        "mode": header.mode,
        "size": [header.width, header.height],
        "pixels": hashlib.sha256(pixels).hexdigest(),
    }


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.glob("good-*.bb")))
def test_golden_files(name: str, shipped: Models) -> None:
    """`test_golden.py` has bbcompress find the same."""
    data = (FILES / name).read_bytes()
    found = read(data, shipped)
    names = [entry.name.decode() for entry in found.entries] if data[2] >> 4 else [""]
    assert dict(zip(names, map(found_facts, found.entries), strict=True)) == EXPECTED[name]["pictures"]
    hashes = {name.decode(): hashlib.sha256(file).hexdigest() for name, file in found.arrays.items()}
    assert hashes == EXPECTED[name].get("arrays", {})
    tree = ArchiveReader(data).tree
    assert [tuple(entry) for entry in found.files] == [tuple(entry) for entry in tree.files]
    folders = {name.decode(): tuple(entry) for name, entry in found.folders.items()}
    assert folders == {name: tuple(entry) for name, entry in tree.folders.items()}


@pytest.mark.parametrize("name", cases())
def test_files_of_every_method(name: str, made: Models) -> None:
    found = [found_facts(entry) for entry in read(cases()[name].data, made).entries]
    for one, picture in zip(found, cases()[name].pictures, strict=True):
        expected = facts(picture)
        for key in {"mode", "size", "pixels", "file"} & expected.keys():
            assert one[key] == expected[key]


@pytest.mark.parametrize(
    "name", sorted(path.name for kind in ("bad", "unsupported") for path in FILES.glob(f"{kind}-*.bb"))
)
def test_what_is_refused(name: str, shipped: Models) -> None:
    with pytest.raises((Damaged, Unsupported, MissingModel)):
        read((FILES / name).read_bytes(), shipped)


def test_it_is_independent() -> None:
    for path in Path(predictor.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in {"numpy", "second_decoder", *sys.stdlib_module_names}, (path, name)


def test_general_predictors_in_the_document() -> None:
    for (stage, channel, channels), (weights, context, knots, shape) in TABLES.items():
        unit = predictor.general(channels)[stage, channel]
        assert [*unit] == [weights, context, knots, shape, 8, 0]


def test_a_picture_in_several_pieces_on_several_lanes(made: Models) -> None:
    """Wider than it is high, so that both rules of section 18.1 have a say; the stream widens on the way."""
    rows, columns = np.ogrid[:140, :1030]
    random = np.random.default_rng(0)
    pixels = (60 * np.sin(rows / 9) + 50 * np.cos(columns / 31) + random.normal(128, 4, (140, 1030))).clip(0, 255)
    picture = Picture("L", pixels.astype(np.uint8))
    payload = coarse_to_fine([picture])
    (entry,) = read(pack_single(payload, pictures_digest([picture])), made).entries
    assert entry.item.pixel_bytes() == picture.pixels.tobytes()


def test_values_in_the_document() -> None:
    """Section 17."""
    text = predictor.FORMAT.read_text("utf-8")
    n = np.arange(1, 256)
    for values in (
        functions.sigmoid_table(),
        functions.normal_table(),
        functions.inverse_normal(n / 256),
        functions.inverse_normal((np.arange(256) + 0.5) / 256),
    ):
        assert hashlib.sha256(values.astype("<f8").tobytes()).hexdigest() in text
    for function in (functions.exp, functions.sigmoid, functions.normal):
        for x in (0.3, -1.0, 2.5):
            assert f"`{float(function(np.array(x))).hex()}`" in text
    assert f"`{functions.noise(5, 1, 6)[5].hex()}`" in text


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
@pytest.mark.parametrize("effort", [0, 4, 6])
def test_webp(levels: int, effort: int, tmp_path: Path) -> None:
    """Palettes, predictors, colour transforms, copies."""
    rng = np.random.default_rng(levels)
    slow = np.linspace(0, levels - 1, 41 * 30).reshape(30, 41, 1) + rng.integers(0, 2, (30, 41, 4))
    pixels = np.tile(np.clip(slow, 0, levels - 1), (1, 2, 1)) * (255 // (levels - 1))
    pixels = pixels.astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.webp", lossless=True, exact=True, method=effort)
    data = (tmp_path / "x.webp").read_bytes()
    at = data.index(b"VP8L")
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    np.testing.assert_array_equal(vp8l.decode(data[at + 8 : at + 8 + size]), pixels)
