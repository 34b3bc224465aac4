"""Lists of names: exact, compact for counted ones, and safe to make files of."""

import os
import time
from itertools import chain

import pytest
from helpers import flipped
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcompress.archive.names import MAX_NAME_BYTES, check_name, pack_names, unpack_names
from bbcompress.varint import Malformed, write_varint

LIMIT = 1 << 22

parts = st.text(st.characters(exclude_characters="/\\:", exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
names = st.lists(parts, min_size=1, max_size=3).map("/".join)
counted = st.builds(
    lambda before, after, first, width, count: [f"{before}{n:0{width}d}{after}" for n in range(first, first + count)],
    parts,
    st.sampled_from(["", ".png", "x.tif"]),
    st.one_of(st.integers(0, 1200), st.sampled_from([10**6 - 3, 10**17 - 2, 10**18 - 2, 10**19 - 2, 10**20])),
    st.integers(0, 6),
    st.integers(1, 30),
)
lists = st.one_of(
    st.lists(names, max_size=8),
    st.lists(counted, max_size=4).map(lambda runs: [*chain.from_iterable(runs)]),
)


def entry(name: bytes, prefix: int = 0, run: int = 0) -> bytes:
    return write_varint(prefix) + write_varint(len(name)) + name + write_varint(run)


@given(lists)
def test_round_trip(these: list[str]) -> None:
    assert unpack_names(pack_names(these), LIMIT) == these
    assert unpack_names(pack_names(these), len(these)) == these
    if these:
        with pytest.raises(Malformed):
            unpack_names(pack_names(these), len(these) - 1)


def test_counted_names_cost_a_few_bytes() -> None:
    these = [f"{n:05d}.png" for n in range(60_000)]
    data = pack_names(these)
    assert len(data) < 40
    assert unpack_names(data, 60_000) == these


@pytest.mark.parametrize(
    ("these", "entries"),
    [
        (["099.png", "100.png", "101.png"], 1),  # the width stays
        (["099", "0100"], 2),
        (["8", "9", "10", "11"], 2),  # it grows: a new entry, and its successors
        (["9.png", "10.png"], 2),
        (["a1b2.png", "a1b3.png", "a2b3.png"], 2),  # the last number counts
        (["2x", "1x", "2x"], 2),
        (["5", "5"], 2),
        (["x", "x"], 2),
        (["٣.png", "٤.png"], 2),  # digits of other scripts are letters here
        (["9" * 18 + ".png", "1" + "0" * 18 + ".png"], 2),
        (["0" * 30 + "1", "0" * 30 + "2"], 2),  # more digits than a counter takes
        (["1/9", "2/0"], 2),
        (["001/a", "002/a"], 1),
    ],
)
def test_where_counting_starts_anew(these: list[str], entries: int) -> None:
    data = pack_names(these)
    assert unpack_names(data, LIMIT) == these
    # every entry ends in the number of its successors
    assert len(these) - entries == _successors(data)


def _successors(data: bytes) -> int:
    from bbcompress.varint import Reader

    reader = Reader(data)
    reader.varint(LIMIT)
    total = 0
    while reader.remaining:
        reader.varint(LIMIT)
        reader.take(reader.varint(LIMIT))
        total += reader.varint(LIMIT)
    return total


def test_what_names_share_is_written_once() -> None:
    folder = "a-rather-long-folder-name/" * 10
    these = [folder + chr(ord("a") + n) + ".png" for n in range(20)]
    assert len(pack_names(these)) < len(folder) + 20 * 10


BAD = [
    b"",
    b"/etc/passwd",
    b"..",
    b".",
    b"../x.png",
    b"a/../../x.png",
    b"a/./b",
    b"a//b",
    b"a/",
    b"/",
    b"a\0b",
    b"x" * (MAX_NAME_BYTES + 1),
]


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_names_that_are_refused(name: bytes) -> None:
    with pytest.raises(Malformed):
        check_name(name)
    with pytest.raises(Malformed):
        unpack_names(write_varint(1) + entry(name), LIMIT)
    with pytest.raises(Malformed):
        pack_names([name.decode()])


def test_a_bad_name_made_of_a_shared_prefix_is_refused() -> None:
    good, bad = entry(b"a/.b"), entry(b".", prefix=3)
    with pytest.raises(Malformed):
        unpack_names(write_varint(2) + good + bad, LIMIT)


GOOD = [
    b"...",
    b"a b.png",
    b".hidden",
    "Übung 1/写真.png".encode(),
    b"x" * MAX_NAME_BYTES,
    b"scan 12:30\\x.png",
    b"a\nb\x1b[2J",
    "right\u202eto-left\u200b.png".encode(),
    b"\xff.png",  # not UTF-8
    b"\xed\xb3\xbf",  # a surrogate
    b"\xc0\xae\xc0\xae/x",  # ".." in overlong UTF-8
]


@pytest.mark.parametrize("name", GOOD, ids=lambda name: ascii(name[:20]))
def test_whatever_a_file_system_may_have_is_taken(name: bytes) -> None:
    text = check_name(name)
    assert os.fsencode(text) == name
    assert unpack_names(pack_names([text]), 1) == [text]


def test_a_name_may_share_half_a_character_with_the_one_before() -> None:
    these = ["a\u00e9", "a\u00e8"]
    assert unpack_names(pack_names(these), 2) == these


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\1", id="no entry"),
        pytest.param(b"\0\0", id="bytes after the end"),
        pytest.param(write_varint(1) + entry(b"a") + b"\0", id="bytes after the last name"),
        pytest.param(write_varint(2) + entry(b"a", run=1), id="successor of no number"),
        pytest.param(write_varint(2) + entry(b"9", run=1), id="successor that is wider"),
        pytest.param(write_varint(2) + entry(b"9" * 40, run=1), id="successor of a huge number"),
        pytest.param(write_varint(2) + entry(b"1", run=2), id="more successors than names"),
        pytest.param(write_varint(1) + entry(b"a", prefix=1), id="prefix of nothing"),
        pytest.param(write_varint(2) + entry(b"a") + entry(b"b", prefix=2), id="prefix longer than the name"),
        pytest.param(write_varint(1) + b"\0\x7fabc", id="name cut short"),
        pytest.param(write_varint(1) + b"\0" + write_varint(1 << 40) + b"a", id="endless name"),
        pytest.param(write_varint(LIMIT + 1) + entry(b"0000000", run=LIMIT), id="too many"),
    ],
)
def test_malformed_lists(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(Malformed):
        unpack_names(data, LIMIT)
    assert time.process_time() - started < 1


@given(lists, st.data())
@settings(max_examples=200)
def test_damage_raises_nothing_but_malformed(these: list[str], data: st.DataObject) -> None:
    packed = pack_names(these)
    kind = data.draw(st.sampled_from(["cut", "flip", "garbage"]))
    if kind == "cut":
        packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    elif kind == "flip":
        packed = flipped(packed, data.draw(st.integers(0, 8 * len(packed) - 1)))
    else:
        packed = data.draw(st.binary(max_size=40))
    try:
        found = unpack_names(packed, 1000)
    except Malformed:
        return
    assert len(found) <= 1000
    assert [check_name(os.fsencode(name)) for name in found] == found
    assert unpack_names(pack_names(found), 1000) == found


@given(lists.filter(bool), st.data())
def test_truncation_is_noticed(these: list[str], data: st.DataObject) -> None:
    packed = pack_names(these)
    with pytest.raises(Malformed):
        unpack_names(packed[: data.draw(st.integers(0, len(packed) - 1))], LIMIT)
