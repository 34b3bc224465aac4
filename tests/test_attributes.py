"""Modes and times of files and folders in an archive: exact, compact, and safe to read from anyone."""

import pytest
from helpers import flipped, paper_models, rgb
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcompress.archive.attributes import Tree, pack_tree, unpack_tree
from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.read import ArchiveReader
from bbcompress.images.place import UNKNOWN, Attributes
from bbcompress.varint import Malformed, write_varint

part = st.sampled_from(["a", "b", "a.png", "x"])
paths = st.lists(part, min_size=1, max_size=4).map("/".join)


@st.composite
def trees(draw):
    names = draw(st.lists(paths, unique=True, max_size=6))
    timed = draw(st.booleans())
    unit = 10 ** draw(st.sampled_from([0, 3, 6, 9]))
    times = st.integers(-(1 << 62) // unit, (1 << 62) // unit).map(lambda time: time * unit) if timed else st.none()
    known = st.builds(Attributes, st.integers(0, 0o777), times)
    attributes = st.one_of(st.just(UNKNOWN), known)
    folders = {""}
    for name in [*names, *(folder + "/" for folder in draw(st.lists(paths, max_size=4)))]:
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return names, Tree([draw(attributes) for _ in names], {folder: draw(attributes) for folder in sorted(folders)})


@given(trees())
def test_round_trip(made):
    names, tree = made
    found = unpack_tree(pack_tree(tree, names), names)
    assert found.files == tree.files
    assert found.folders == tree.folders


@given(trees(), st.data())
@settings(max_examples=200)
def test_damage_raises_nothing_but_malformed(made, data):
    names, tree = made
    packed = pack_tree(tree, names)
    kind = data.draw(st.sampled_from(["cut", "flip", "garbage"]))
    if kind == "cut":
        packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    elif kind == "flip":
        packed = flipped(packed, data.draw(st.integers(0, 8 * len(packed) - 1)))
    else:
        packed = data.draw(st.binary(max_size=40))
    try:
        found = unpack_tree(packed, names)
    except Malformed:
        return
    assert len(found.files) == len(names)


def test_what_files_have_alike_costs_next_to_nothing():
    names = [f"{number:05d}.png" for number in range(20_000)]
    same = Tree([Attributes(0o644, 1_700_000_000 * 10**9)] * 20_000, {"": Attributes(0o755, 1_700_000_000 * 10**9)})
    assert len(pack_tree(same, names)) < 100
    seconds = Tree([Attributes(0o644, (1_700_000_000 + n % 7) * 10**9) for n in range(20_000)], {"": UNKNOWN})
    assert len(pack_tree(seconds, names)) < 20_000 / 8


def test_deep_names_take_no_quadratic_memory():
    names = ["/".join("d" * 30_000) + f"/{number}" for number in range(3)]
    with pytest.raises(Malformed):
        unpack_tree(write_varint(3) + b"\1\0\3", names)


def test_an_archive_holds_them_and_one_without_is_as_before():
    pictures = {"a.png": rgb(), "b/c.png": rgb(1, 1)}
    tree = Tree([Attributes(0o600, 5), Attributes(0o640, -7)], {"": UNKNOWN, "b": Attributes(0o700, 1), "e/f": UNKNOWN})
    data, _ = compress_archive(pictures.items(), paper_models(), Options(), tree)
    archive = ArchiveReader(data)
    assert list(archive.tree.files) == list(tree.files)
    assert archive.tree.folders == {"": UNKNOWN, "b": Attributes(0o700, 1), "e": UNKNOWN, "e/f": UNKNOWN}
    without, _ = compress_archive(pictures.items(), paper_models(), Options())
    assert ArchiveReader(without).tree == Tree()
    assert len(without) < len(data) < len(without) + 60
