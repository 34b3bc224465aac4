"""Predictors for pictures in general: of coarse scales and small files; a file's own are written as changes of them.

There are tables of grey pictures and of colour (green, red, blue). Other channels, transparency for one, are predicted
as grey pictures are, and take no part in predicting.
"""

from functools import cache

import numpy as np

from bbcompress.codec.general_tables import TABLES
from bbcompress.codec.lattice import Tap
from bbcompress.codec.predictor import Difference, Error, Predictor, Spread, Term, Unit, taps, terms

COLOURS = 3


@cache
def general(unit: Unit) -> Predictor:
    """A unit's general predictor."""
    colour = unit.channels >= COLOURS and unit.channel < COLOURS
    known = unit._replace(channels=COLOURS) if colour else Unit(unit.stage, 0, 1)
    weights, context, knots, shape = TABLES[known]
    by = 0 if colour else unit.channel
    found = {_moved(item, by): number for item, number in zip(taps(known), weights, strict=False)}
    expected = {_moved(item, by): number for item, number in zip(terms(known), context, strict=False)}
    return Predictor(
        np.array([*(found.get(tap, 0) for tap in taps(unit)), weights[-1]], np.int64),
        np.array([*(expected.get(term, 0) for term in terms(unit)), context[-1]], np.int64),
        np.array(knots, np.int64),
        shape,
    )


def _moved(item: Tap | Term, by: int) -> Tap | Term:
    """As it is of a channel so many further."""
    match item:
        case Tap():
            return item._replace(channel=item.channel + by)
        case Error(places) | Spread(places):
            return type(item)(tuple(tap._replace(channel=tap.channel + by) for tap in places))
        case Difference(one, other):
            return Difference(one._replace(channel=one.channel + by), other._replace(channel=other.channel + by))
