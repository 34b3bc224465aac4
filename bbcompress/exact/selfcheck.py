"""A few milliseconds of proof that this machine computes what every other machine computes."""

import hashlib

import numpy as np

from bbcompress.exact import functions, noise
from bbcompress.exact.engine import Engine, Matrix
from bbcompress.exact.functions import Floats

PINNED = "d187fcb0475f22787ce90278ca4bef83fe8119695e60ab1cbbb3dfb0beaeb077"
"""SHA-256 of `fingerprint`'s values; part of every format version's definition."""


class InexactArithmetic(ArithmeticError):
    """This machine, or a library on it, does not compute IEEE 754 results."""


def fingerprint(engine: Engine) -> str:
    """SHA-256 over results of each kind of arithmetic that can reach a file."""
    x = np.arange(-2000, 2000) / 64.0 + 1 / 3
    positive = np.abs(x) + 2.0**-40
    unit = (np.arange(1, 2000) - 1 / 3) / 2000
    # Integers whose products' sums come close to 2^53, and which float32 or fused arithmetic would round
    a = ((np.arange(67 * 513) * 7919) % 1_048_573 - 524_286).reshape(67, 513).astype(np.float64)
    b = ((np.arange(513 * 35) * 104_729) % 33_554_393 - 16_777_196).reshape(513, 35).astype(np.float64)
    # The same of 2^24, for layers that are exact in float32 and would not be in narrower formats
    a_small, b_small = ((values % 178 - 89).astype(np.float32) for values in (a, b))
    digest = hashlib.sha256()
    for values in (
        functions.exp(x),
        functions.log(positive),
        functions.softplus(x),
        functions.sigmoid(x),
        functions.normal_cdf(x),
        functions.normal_inverse_cdf(unit),
        np.sqrt(positive) / (x - 0.1),
        noise.normals(np.arange(7), 3, 33),
        _product(engine, a, b),
        _product(engine, a_small, b_small),
    ):
        digest.update(np.ascontiguousarray(values, "<f8").tobytes())
    return digest.hexdigest()


def _product(engine: Engine, a: Matrix, b: Matrix) -> Floats:
    product = np.empty((len(a), b.shape[1]), a.dtype)
    engine.matmul(a, b, product)
    return product.astype(np.float64) + 0.0  # there may be zeros of either sign


_checked: set[type[Engine]] = set()


def require_exact_arithmetic(engine: Engine) -> None:
    """Raise InexactArithmetic unless the fingerprint is the pinned one. Checked once for each kind of engine."""
    if type(engine) in _checked:
        return
    if fingerprint(engine) != PINNED:
        raise InexactArithmetic(
            "this machine's arithmetic differs from IEEE 754 double precision: bbc would write files that others "
            "cannot read, so it does not (an unusual BLAS, compiler flags or flush-to-zero mode may be the cause)"
        )
    _checked.add(type(engine))
