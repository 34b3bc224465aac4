"""Varints: exact round trips, one form for each number, nothing past the end or the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bbcompress.varint import Malformed, Reader, Truncated, write_varint


@given(st.lists(st.integers(0, 2**70)), st.binary(max_size=5))
def test_round_trip(values: list[int], tail: bytes) -> None:
    reader = Reader(b"".join(map(write_varint, values)) + tail)
    assert [reader.varint(2**70) for _ in values] == values
    assert reader.remaining == len(tail)
    assert reader.rest() == tail
    assert reader.remaining == 0


@pytest.mark.parametrize(("value", "data"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (16384, b"\x80\x80\1")])
def test_known_forms(value: int, data: bytes) -> None:
    assert write_varint(value) == data


@given(st.binary(max_size=12), st.integers(0, 2**40))
def test_whatever_is_read_is_canonical_and_within_the_limit(data: bytes, limit: int) -> None:
    reader = Reader(data)
    try:
        value = reader.varint(limit)
    except Malformed:
        return
    assert value <= limit
    assert data == write_varint(value) + reader.rest()


@given(st.integers(0, 2**40))
def test_the_limit_is_inclusive(value: int) -> None:
    assert Reader(write_varint(value)).varint(value) == value
    with pytest.raises(Malformed):
        Reader(write_varint(value + 1)).varint(value)


@pytest.mark.parametrize("data", [b"\x80\0", b"\xff\x80\0", b"\x80" * 100 + b"\0"])
def test_longer_forms_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Reader(data).varint(2**63)


def test_endless_input_stops_at_the_limit() -> None:
    reader = Reader(b"\x80" * 10**6)
    with pytest.raises(Malformed):
        reader.varint(1000)
    assert reader.remaining > 999_990


def test_the_end_is_noticed() -> None:
    with pytest.raises(Truncated):
        Reader(b"").varint(9)
    with pytest.raises(Truncated):
        Reader(b"\x80").varint(999)
    reader = Reader(b"abc")
    with pytest.raises(Truncated):
        reader.take(4)
    assert (reader.take(2), reader.byte(), reader.rest()) == (b"ab", ord("c"), b"")
    with pytest.raises(Truncated):
        reader.byte()


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        write_varint(-1)
    with pytest.raises(ValueError, match="negative"):
        Reader(b"abc").take(-1)
