"""Pictures coarse to fine: every size, depth and number of channels comes back, by the same bytes whatever computes."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcompress.codec import fit, lattice, lattice_streams, lattice_walk, parameters
from bbcompress.codec.chain import DamagedChain
from bbcompress.codec.corrector import Corrector, usual
from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES, Planes, Scale
from bbcompress.codec.lattice_decoder import decode
from bbcompress.codec.lattice_encoder import encode
from bbcompress.codec.lattice_walk import Shape
from bbcompress.codec.predictor import Piece, Unit, centres, plain_weights, predict, taps, terms
from bbcompress.exact.engine import Engine
from bbcompress.varint import Malformed, Reader

ENGINE = Engine()


def photograph(channels: int, height: int, width: int, depth: int = 8, pictures: int = 1) -> np.ndarray:
    """Something with edges, gradients, grain, and channels that hang together."""
    random = np.random.default_rng(height * width + channels)
    rows, columns = np.mgrid[:height, :width]
    light = 0.5 + 0.3 * np.sin(columns / 9 + rows / 17) + 0.2 * (rows > columns)
    planes = [light * (1 - 0.1 * channel) for channel in range(channels)]
    grain = random.normal(size=(pictures, height, width)) * 0.02
    values = np.stack([plane + grain + random.normal(size=grain.shape) * 0.005 for plane in planes])
    top = (1 << depth) - 1
    return np.clip(np.rint(values * top), 0, top).astype(np.uint8 if depth <= 8 else np.uint16)


def back(data: bytes, pictures: list[np.ndarray], depth: int, engine: Engine = ENGINE) -> list[np.ndarray]:
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    return decode(data, shapes, pictures[0].shape[0], depth, None, engine)


def _corner_pixels(group: np.ndarray) -> int:
    return group.shape[0] * group.shape[1]


def assert_round_trip(pictures: list[np.ndarray], depth: int) -> bytes:
    data, bits = encode(pictures, depth, None, ENGINE)
    assert [len(of_group) for of_group in bits] == [group.shape[1] for group in pictures]
    # the pixels at the top left are in no picture's bits, nor are a stream's ends
    beyond = 8 * len(data) - sum(of_group.sum() for of_group in bits)
    assert 0 <= beyond < 200 + 17 * sum(map(_corner_pixels, pictures)) + 0.01 * 8 * len(data)
    decoded = back(data, pictures, depth)
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(decoded, pictures, strict=True))
    return data


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4),
    st.sampled_from([1, 4, 8, 10, 16]),
    st.lists(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(0, 1 << 30),
)
def test_any_pictures_come_back(channels: int, depth: int, shapes: list[tuple[int, int, int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    dtype = np.uint8 if depth <= 8 else np.uint16
    assert_round_trip([random.integers(0, 1 << depth, (channels, *shape)).astype(dtype) for shape in shapes], depth)


def test_what_is_coded_quickly_comes_back_with_predictors_of_fine_scales() -> None:
    picture = photograph(3, 320, 400)
    quick = encode([picture], 8, None, ENGINE, effort=fit.QUICK).data
    (decoded,) = back(quick, [picture], 8)
    assert np.array_equal(decoded, picture)
    brought = {}
    for data in quick, encode([picture], 8, None, ENGINE).data:
        reader = Reader(data)
        found = parameters.unpack(reader.take(reader.varint(len(data))), 3, partial(usual, None))
        brought[len(data)] = {stride for stride, _, _ in found}
    assert [brought[size] for size in sorted(brought)] == [{8, 4, 2}, {4, 2}]


@pytest.mark.parametrize(
    ("channels", "depth", "height", "width"), [(3, 8, 96, 120), (1, 8, 75, 64), (1, 16, 80, 90), (4, 8, 40, 64)]
)
def test_photographs_come_back_smaller(channels: int, depth: int, height: int, width: int) -> None:
    picture = photograph(channels, height, width, depth)
    data = assert_round_trip([picture], depth)
    assert 8 * len(data) < 0.85 * depth * picture.size


def test_groups_of_several_sizes_share_their_predictors() -> None:
    pictures = [photograph(3, 64, 64, pictures=3), photograph(3, 50, 70), photograph(3, 1, 40), photograph(3, 33, 1)]
    together = assert_round_trip(pictures, 8)
    assert len(together) < sum(len(encode([group], 8, None, ENGINE).data) for group in pictures)


def test_values_that_are_all_alike() -> None:
    assert len(assert_round_trip([np.full((1, 1, 70, 300), 255, np.uint8)], 8)) < 600


def test_the_same_bytes_with_any_threads_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [photograph(3, 90, 70), photograph(3, 32, 32, pictures=5)]
    data = encode(pictures, 8, None, ENGINE).data
    assert encode(pictures, 8, None, Engine(3)).data == data
    assert all(np.array_equal(a, b) for a, b in zip(back(data, pictures, 8, Engine(2)), pictures, strict=True))


def test_large_pictures_have_several_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_streams, "STREAM_SYMBOLS", 2000)
    monkeypatch.setattr(lattice_walk, "PIECE_PIXELS", 500)
    monkeypatch.setattr(lattice_walk, "PIECE_ROWS", 1)
    assert_round_trip([photograph(3, 60, 64)], 8)


def test_progress_counts_every_subpixel_once_but_the_corners() -> None:
    picture = photograph(3, 40, 30)
    done: list[int] = []
    data = encode([picture], 8, None, ENGINE, advance=done.append).data
    assert sum(done) == picture.size - 3
    done.clear()
    decode(data, [Shape(1, 40, 30)], 3, 8, None, ENGINE, done.append)
    assert sum(done) == picture.size - 3


def test_pixels_of_a_unit_do_not_hang_on_each_other() -> None:
    """The means and classes of a stage's channel are the same whatever that channel holds."""
    picture = photograph(3, 24, 20)
    unit = Unit(lattice.RIGHT, 1, 3)
    found = []
    for other in 0, 200:
        known = picture[:, :, ::2, ::2]
        planes = Planes(known, np.zeros(known.shape, np.uint16), np.zeros((0, *known.shape[1:]), np.uint8))
        scale = Scale(2, planes, 24, 20)
        for stage in STAGES[: STAGES.index(unit.stage) + 1]:
            for channel in range(3):
                if (stage, channel) < (unit.stage, unit.channel):
                    scale.inside(scale.pixels, stage, channel)[:] = scale.split(picture, stage)[channel]
                    scale.extend(stage, channel)
        scale.inside(scale.pixels, unit.stage, unit.channel)[:] = other
        rows, columns = scale.size(unit.stage)
        piece = Piece(slice(0, 1, 1), slice(0, rows, 1), slice(0, columns, 1))
        found.append(predict(general(unit), unit, scale, 8, piece))
    assert np.array_equal(found[0].means, found[1].means)
    assert np.array_equal(found[0].classes, found[1].classes)


def test_neighbours_are_known_before() -> None:
    for stage in STAGES:
        for channel in range(3):
            for tap in taps(Unit(stage, channel, 3)):
                assert tap.part < stage or (tap.part == stage and tap.channel < channel)


def test_general_predictors_are_of_grey_where_channels_are_no_colours() -> None:
    alpha, grey = Unit(lattice.BELOW, 3, 4), Unit(lattice.BELOW, 0, 1)
    of_grey = dict(zip(taps(grey), general(grey).weights, strict=False))
    of_alpha = {tap: weight for tap, weight in zip(taps(alpha), general(alpha).weights, strict=False) if weight}
    assert {tap._replace(channel=0): weight for tap, weight in of_alpha.items()} == {
        tap: weight for tap, weight in of_grey.items() if weight
    }
    assert general(alpha).context.sum() == general(grey).context.sum()
    assert len(general(alpha).context) == len(terms(alpha)) + 1


def test_weights_of_differences_leave_flat_places_as_they_are() -> None:
    unit = Unit(lattice.DIAGONAL, 1, 3)
    random = np.random.default_rng(1)
    weights = random.integers(-500, 500, len(centres(unit)))
    of = np.array(centres(unit))
    weights[np.flatnonzero(of == len(of) - 1)] = 0
    weights[[number for number, tap in enumerate(taps(unit)) if tap.channel != 1 and number in of]] = 0
    flat = {0: 17, 1: 90, 2: 200}
    plain = plain_weights(unit, weights)
    mean = sum(weight * flat[tap.channel] for weight, tap in zip(plain, taps(unit), strict=False))
    assert mean == 90 << 12


def test_parameters_come_back() -> None:
    random = np.random.default_rng(0)
    found = {}
    for stride, stage, channel in [(8, 1, 0), (2, 3, 2), (4, 2, 1)]:
        base = general(Unit(stage, channel, 3))
        found[stride, stage, channel] = base._replace(
            weights=base.weights + random.integers(-300, 300, len(base.weights)),
            context=base.context + random.integers(0, 9, len(base.context)),
            knots=base.knots + random.integers(-3, 3, len(base.knots)),
            shape=11,
            gain=3,
            wider=-4,
        )
    of_general, of_others = (
        partial(usual, corrector) for corrector in (None, Corrector(3, (), {(4, 2, 1): found[4, 2, 1]}))
    )
    for before in of_general, of_others:
        read = parameters.unpack(parameters.pack(found, 3, before), 3, before)
        assert read.keys() == found.keys()
        for key, predictor in read.items():
            assert all(np.array_equal(a, b) for a, b in zip(predictor, found[key], strict=True))
    assert parameters.pack(found, 3, of_general) != parameters.pack(found, 3, of_others)
    assert parameters.pack(found, 3, of_general, (8, 4, 2, 16)) != parameters.pack(found, 3, of_general)


def test_every_cut_and_flipped_byte_is_refused_or_decodes_to_something() -> None:
    picture = photograph(1, 11, 13)
    data = encode([picture], 8, None, ENGINE).data
    refused = 0
    for length in range(0, len(data), 3):
        with pytest.raises((DamagedChain, Malformed)):
            back(data[:length], [picture], 8)
    random = np.random.default_rng(0)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << random.integers(8)
        try:
            back(bytes(damaged), [picture], 8)
        except (DamagedChain, Malformed):
            refused += 1
    assert refused > len(data) // 2
