"""Files written once decode forever to the same pictures, and what was refused stays refused."""

import csv
import hashlib
import json
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import FILES, facts

from bbcompress.archive.errors import ArchiveError
from bbcompress.archive.payload import BitsBack, Lattice, Tiles
from bbcompress.archive.read import ArchiveReader
from bbcompress.cli import main
from bbcompress.codec.corrector import usual
from bbcompress.codec.parameters import unpack
from bbcompress.codec.refine import Method
from bbcompress.codec.registry import Registry
from bbcompress.images import Picture
from bbcompress.images.place import UNKNOWN
from bbcompress.varint import Reader

EXPECTED: dict[str, dict[str, Any]] = json.loads((FILES / "expected.json").read_text("utf-8"))
with (FILES / "catalogue.tsv").open(newline="") as table:
    CODES = {row["file"]: int(row["code"]) for row in csv.DictReader(table, delimiter="\t")}
KINDS = {"good": {0}, "bad": {3}, "unsupported": {4, 5, 6}}


def of_kind(*kinds: str) -> list[str]:
    return sorted(name for name in EXPECTED if name.split("-")[0] in kinds)


def test_the_catalogue_is_complete() -> None:
    assert set(CODES) == {path.name for path in FILES.glob("*.bb")} == set(EXPECTED)
    for name, code in CODES.items():
        assert code in KINDS[name.split("-")[0]]


@cache
def golden_models() -> Registry:
    return Registry(files=sorted(FILES.glob("*.safetensors")))


def test_the_files_show_what_they_are_for() -> None:
    """A golden file that does not use a feature would not hold it in place."""

    def plans(name: str) -> list[Any]:
        parts = ArchiveReader((FILES / f"good-archive-{name}.bb").read_bytes()).parts
        return [part.payload.plan for part in parts if isinstance(part.payload, BitsBack)]

    for name, steps, method in (
        ("lanes", 0, Method.NATURAL),
        ("lanes-refined", 3, Method.NATURAL),
        ("grey-refined", 2, Method.NATURAL),
        ("grey-refined-adam", 2, Method.ADAM),
    ):
        (plan,) = plans(name)
        assert (plan.steps, plan.method) == (steps, method)
        assert plan.first < plan.images, "nothing was coded with bits-back"
    assert plans("lanes")[0].lanes > 1
    for name, steps, method in (
        ("archive-colour", 0, Method.NATURAL),
        ("archive-colour-refined", 2, Method.NATURAL),
        ("archive-colour-refined-adam", 2, Method.ADAM),
        ("archive-colour-alpha", 1, Method.NATURAL),
        ("single-colour", 0, Method.NATURAL),
    ):
        (part,) = ArchiveReader((FILES / f"good-{name}.bb").read_bytes()).parts
        assert isinstance(part.payload, Tiles)
        assert (part.payload.plan.steps, part.payload.plan.method) == (steps, method)
        assert bool(part.payload.alphas) == (name == "archive-colour-alpha")
        assert part.payload.plan.images > len(part.payload.sizes) or name == "archive-colour-alpha"
    for name, depths, has_alpha in (
        ("single-lattice", [8], False),
        ("single-lattice-sixteen", [12], False),
        ("single-lattice-alpha", [8], True),
        ("archive-lattice", [8, 12, 8], False),
        ("archive-lattice-alpha", [8], True),
        ("single-corrected", [8], False),
        ("single-corrected-sixteen", [12], False),
    ):
        payloads = [part.payload for part in ArchiveReader((FILES / f"good-{name}.bb").read_bytes()).parts]
        assert [payload.form.depth for payload in payloads if isinstance(payload, Lattice)] == depths
        for payload in payloads:
            assert isinstance(payload, Lattice) and payload.form.has_alpha == has_alpha
            if payload.form.mode == "RGB":
                reader = Reader(payload.data)
                found = unpack(reader.take(reader.varint(len(payload.data))), 3, partial(usual, None))
                assert found, "no predictors of its own"
    for name in of_kind("good"):
        for part in ArchiveReader((FILES / name).read_bytes()).parts:
            if isinstance(part.payload, Lattice):
                assert bool(part.payload.model_id) == ("corrected" in name)
    assert ArchiveReader((FILES / "good-archive-attributes.bb").read_bytes()).tree.folders["e/mpty"] == UNKNOWN
    parts = ArchiveReader((FILES / "good-archive-folders.bb").read_bytes()).parts
    assert [0, 2] in [part.numbers.tolist() for part in parts]


@pytest.mark.parametrize("name", of_kind("good"))
@pytest.mark.parametrize("recover", [False, True])
def test_good_files_decode_to_the_same_pictures(name: str, recover: bool) -> None:
    archive = ArchiveReader((FILES / name).read_bytes(), recover)
    found = {item.name or "": facts(item.picture) for item in archive.decode(golden_models())}
    assert found == EXPECTED[name]["pictures"]
    assert archive.damage == []


@pytest.mark.parametrize("name", [name for name in of_kind("good") if "arrays" in EXPECTED[name]])
def test_arrays_of_good_files(name: str) -> None:
    """Unpacked, as another zlib may deflate otherwise."""
    archive = ArchiveReader((FILES / name).read_bytes())
    found = {item.number: item.picture for item in archive.decode(golden_models())}
    hashes = {}
    for array in archive.arrays:
        spans = [span for span in array.file.spans for _ in range(span.pictures)]
        pictures = [found[number] for number in array.numbers]
        samples = [span.samples(one) for span, one in zip(spans, pictures, strict=True) if isinstance(one, Picture)]
        hashes[array.name] = hashlib.sha256(b"".join(array.file.unpacked(samples))).hexdigest()
    assert hashes == EXPECTED[name]["arrays"]


@pytest.mark.parametrize("name", of_kind("bad", "unsupported"))
def test_what_is_refused_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((FILES / name).read_bytes())
    outputs = [[], ["-o", str(tmp_path / "out")], ["-o", str(tmp_path / "out.png")]]
    for command in [["test"], *(["decompress", *output] for output in outputs)]:
        done = CliRunner().invoke(main, [*command, str(tmp_path / name)])
        assert done.exit_code == CODES[name], done.output
        assert all(": lost: " in line for line in done.stdout.splitlines()) and (command == ["test"] or not done.stdout)
        assert re.fullmatch(rf"bbc: {re.escape(str(tmp_path / name))}: [^\n]+\n", done.stderr)
        assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", of_kind("bad"))
def test_what_is_recovered_of_damaged_files(name: str) -> None:
    found = []
    damage: list[str] = []
    try:
        archive = ArchiveReader((FILES / name).read_bytes(), recover=True)
    except ArchiveError as error:
        damage.append(str(error))
    else:
        found = [item.name for item in sorted(archive.decode(golden_models()), key=lambda item: item.number)]
        damage = archive.damage
    assert damage
    assert all("\n" not in line for line in damage)
    assert found == EXPECTED[name]["recovered"]
