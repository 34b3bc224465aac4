"""Predictors are fitted alike whatever the order in which a library sums, and fit what they were fitted to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bbcompress.codec import fit
from bbcompress.codec.general import general
from bbcompress.codec.lattice import DIAGONAL, Scale
from bbcompress.codec.lattice_walk import Shape, Walk, stages
from bbcompress.codec.least_squares import Equations
from bbcompress.codec.predictor import Predictor, Unit

SHAPE = Shape(2, 130, 120)


def problem(seed: int, largest: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows, what is wanted, roots."""
    random = np.random.default_rng(seed)
    rows = np.rint(random.normal(0, largest / 8, (9, 3000)).clip(-largest, largest))
    wanted = np.linspace(-1, 1, 9) @ rows + random.normal(0, 3, 3000)
    return rows, wanted, random.uniform(0.1, 1, 3000)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1 << 30), st.sampled_from([8, 12, 16]))
def test_samples_in_any_order_give_the_same(seed: int, depth: int) -> None:
    rows, wanted, roots = problem(seed, 2.0**depth - 1)
    order = np.random.default_rng(seed).permutation(3000)
    found = Equations(rows, wanted, roots, depth).solution(0.5, np.zeros(9))
    again = Equations(rows[:, order], wanted[order], roots[order], depth).solution(0.5, np.zeros(9))
    assert found.tolist() == again.tolist()


@pytest.mark.parametrize("unused", [[], [0, 4]])
def test_solution_is_that_of_least_squares(unused: list[int]) -> None:
    rows, wanted, roots = problem(0, 255)
    used = np.ones(9, bool)
    used[unused] = False
    near, ridge = np.full(9, 0.5), 40.0
    found = Equations(rows, wanted, roots, 8).solution(ridge, near, used)
    weighted = rows[used] * roots**2
    products = weighted @ rows[used].T + ridge * np.eye(len(weighted))
    expected = np.linalg.solve(products, weighted @ wanted + ridge * near[used])
    assert np.allclose(found[used], expected, atol=1e-4)
    assert not found[unused].any()


def scale_of(depth: int) -> Scale:
    """The finest one, whose first channel is smooth with some noise."""
    random = np.random.default_rng(depth)
    rows, columns = np.ogrid[: SHAPE.height, : SHAPE.width]
    smooth = (np.sin(rows / 9) + np.cos(columns / 7) + 2) / 5 * ((1 << depth) - 1)
    pixels = np.rint(smooth + random.normal(0, 2.0 ** (depth - 6), (1, *SHAPE)))
    pixels = pixels.clip(0, (1 << depth) - 1).astype(np.uint8 if depth == 8 else np.uint16)
    walk = Walk([SHAPE], depth, [pixels[:, :, :1, :1]], False)
    for stage in stages([SHAPE]):
        walk.reach(stage.stride)
        scale = walk.scales[0]
        scale.inside(scale.pixels, stage.stage, 0)[:] = scale.split(pixels, stage.stage)[0]
        if stage.stride == 2:
            return scale
        scale.extend(stage.stage, 0)
    raise AssertionError


@pytest.mark.parametrize("times", [2, 4, 8, 12, 20])
def test_sampled_pixels_lie_everywhere_in_blocks(times: int) -> None:
    piece = fit._thinned(scale_of(8), Unit(DIAGONAL, 0, 1), times)
    for part, size in (piece.rows, SHAPE.height // 2), (piece.columns, SHAPE.width // 2):
        assert {place % 4 for place in range(size)[part]} == {0, 1, 2, 3}


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_pixels_in_any_order_give_the_same_predictor(depth: int) -> None:
    unit = Unit(DIAGONAL, 0, 1)
    seen = fit.sample(unit, [scale_of(depth)], depth)
    count = seen.values.size
    # every other one is what contexts are fitted to
    random, order = np.random.default_rng(0), np.arange(count)
    for half in order[::2], order[1::2]:
        random.shuffle(half)
    moved = fit.Sample(*(np.ascontiguousarray(part[..., order]) for part in seen[:4]), seen.share)

    def facts(predictor: Predictor) -> list[object]:
        return [np.asarray(part).tolist() for part in predictor]

    found = fit.fit(seen, depth, general(unit))
    assert facts(fit.fit(moved, depth, general(unit))) == facts(found)
    fitted, base = (fit.bits(p, fit.coded([p], seen, depth)[0], depth) for p in (found, general(unit)))
    assert fitted < base
