"""Elementary functions whose every bit is fixed.

IEEE 754 fixes the result of + - x / sqrt, floor, comparison and scaling by powers of two. Each is its own numpy
call here, so no compiler can fuse two of them. Library versions of exp, log or erf differ between platforms and
releases in the last bits, which would break decoding; these do not.

Arrays are float64 throughout. Accuracy is a few units in the last place, and does not matter to correctness.
"""

from functools import cache
from math import factorial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
"""High 33 bits of ln 2, so that k * _LN2_HIGH is exact for |k| < 2^20."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_EXP_COEFFICIENTS = [1 / factorial(n) for n in range(13, -1, -1)]
_ATANH_COEFFICIENTS = [1 / n for n in range(21, 0, -2)]


def _polynomial(x: Floats, coefficients: list[float]) -> Floats:
    """Horner's rule, highest power first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


def exp(x: Floats) -> Floats:
    """e^x. Arguments are clamped to [-700, 700], where the result is a normal number."""
    x = np.clip(x, -700.0, 700.0)
    power = np.floor(x * _LOG2_E + 0.5)
    rest = x - power * _LN2_HIGH
    rest -= power * _LN2_LOW
    return np.ldexp(_polynomial(rest, _EXP_COEFFICIENTS), power.astype(np.int32))


def log(x: Floats) -> Floats:
    """Natural logarithm of x > 0."""
    mantissa, power = np.frexp(x)
    low = mantissa < _SQRT_HALF
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    exponent = power - low.astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    series = _polynomial(s * s, _ATANH_COEFFICIENTS)
    series *= s
    series *= 2.0
    low_part = exponent * _LN2_LOW
    low_part += series
    return low_part + exponent * _LN2_HIGH


def softplus(x: Floats) -> Floats:
    """log(1 + e^x)."""
    return np.maximum(x, 0.0) + log(1.0 + exp(-np.abs(x)))


class MonotoneTable:
    """A non-decreasing function: `steps` points a unit on [-reach, reach], linear between them, flat outside.

    Rounding preserves order, so x <= y implies table(x) <= table(y) to the last bit: what a coder needs of a
    cumulative distribution function.
    """

    def __init__(self, values: Floats, reach: int, steps: int):
        self._values = values
        self._slopes = np.append(np.diff(values), 0.0)
        self._top = float(2 * reach * steps)
        self._reach = float(reach)
        self._steps = float(steps)

    def __call__(self, x: Floats) -> Floats:
        position = x + self._reach
        position *= self._steps
        np.minimum(position, self._top, out=position)
        np.maximum(position, 0.0, out=position)
        index = position.astype(np.intp)  # truncation is floor: position >= 0
        position -= index
        position *= self._slopes.take(index)
        position += self._values.take(index)
        return position


@cache
def _sigmoid_table() -> MonotoneTable:
    reach, steps = 32, 128
    x = np.arange(-reach * steps, 1) / steps
    e = exp(x)
    lower = e / (1.0 + e)
    return MonotoneTable(np.concatenate([lower, 1.0 - lower[-2::-1]]), reach, steps)


def sigmoid(x: Floats) -> Floats:
    """Logistic cdf 1 / (1 + e^-x), monotone; interpolated, with a relative error below 1e-5."""
    return _sigmoid_table()(x)


@cache
def _normal_cdf_table() -> MonotoneTable:
    reach, steps = 9, 256
    t = np.arange(-2 * reach * steps, 2 * reach * steps + 1) / (2 * steps)
    density = exp(-0.5 * t * t)
    # Simpson's rule on each step; summed as integers, so that the order of the sum cannot matter
    mass = np.floor((density[:-2:2] + 4.0 * density[1:-1:2] + density[2::2]) * 2.0**40).astype(np.int64)
    mass += mass[::-1]
    cumulative = np.concatenate([[0], np.cumsum(mass)])
    return MonotoneTable(cumulative / float(cumulative[-1]), reach, steps)


def normal_cdf(x: Floats) -> Floats:
    """Standard normal cdf, monotone; interpolated, with an absolute error below 1e-6."""
    return _normal_cdf_table()(x)


# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988): highest power first.
_CENTRE = (
    [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0],
    [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0],
)  # fmt: skip
_TAIL = (
    [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0],
    [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0],
)  # fmt: skip


def normal_inverse_cdf(u: Floats) -> Floats:
    """Inverse of the standard normal cdf for 2^-35 <= u <= 1 - 2^-35 (AS 241, accurate to 1e-15)."""
    centred = u - 0.5
    r = 0.180625 - centred * centred
    centre = centred * _polynomial(r, _CENTRE[0]) / _polynomial(r, _CENTRE[1])
    t = np.sqrt(-log(np.minimum(u, 1.0 - u))) - 1.6
    tail = _polynomial(t, _TAIL[0]) / _polynomial(t, _TAIL[1])
    return np.where(np.abs(centred) <= 0.425, centre, np.where(centred < 0, -tail, tail))
