"""Section 9: exact functions, of float64 arrays."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def hexes(text: str) -> list[float]:
    return [float.fromhex(number) for number in text.split()]


def poly(x: Floats, coefficients: list[float]) -> Floats:
    t = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        t = t * x
        t = t + c
    return t


LOG2_E, LN2_HIGH, LN2_LOW = hexes("0x1.71547652b82fep+0 0x1.62e42fee00000p-1 0x1.a39ef35793c76p-33")
E = hexes(
    """0x1.6124613a86d09p-33 0x1.1eed8eff8d898p-29 0x1.ae64567f544e4p-26 0x1.27e4fb7789f5cp-22
    0x1.71de3a556c734p-19 0x1.a01a01a01a01ap-16 0x1.a01a01a01a01ap-13 0x1.6c16c16c16c17p-10 0x1.1111111111111p-7
    0x1.5555555555555p-5 0x1.5555555555555p-3 0x1p-1 0x1p+0 0x1p+0"""
)
A = [1 / n for n in range(21, 0, -2)]


def exp(x: Floats) -> Floats:
    x = np.clip(np.asarray(x, np.float64), -700, 700)
    k = np.floor(x * LOG2_E + 0.5)
    r = x - k * LN2_HIGH
    r = r - k * LN2_LOW
    return np.ldexp(poly(r, E), k.astype(int))


def log(x: Floats) -> Floats:
    m, e = np.frexp(np.asarray(x, np.float64))
    small = m < float.fromhex("0x1.6a09e667f3bcdp-1")
    m, e = np.where(small, m * 2, m), np.where(small, e - 1, e)
    s = (m - 1) / (m + 1)
    q = (poly(s * s, A) * s) * 2
    return (e * LN2_LOW + q) + e * LN2_HIGH


def look_up(values: Floats, reach: int, points: int, x: Floats) -> Floats:
    """9.4."""
    u = (np.asarray(x, np.float64) + reach) * points
    u = np.maximum(np.minimum(u, 2 * reach * points), 0)
    i = np.floor(u).astype(int)
    after = values[np.minimum(i + 1, len(values) - 1)]
    return (u - i) * (after - values[i]) + values[i]


@cache
def sigmoid_table() -> Floats:
    e = exp((np.arange(4097) - 4096) / 128)
    low = e / (1 + e)
    return np.concatenate([low, 1 - low[4095::-1]])


def sigmoid(x: Floats) -> Floats:
    return look_up(sigmoid_table(), 32, 128, x)


@cache
def normal_table() -> Floats:
    t = (np.arange(9217) - 4608) / 512
    d = exp((-0.5 * t) * t)
    a = np.floor(((d[:-2:2] + 4 * d[1:-1:2]) + d[2::2]) * 2.0**40)
    c = np.concatenate([[0.0], np.cumsum(a + a[::-1])])
    return c / c[-1]


def normal(x: Floats) -> Floats:
    return look_up(normal_table(), 9, 256, x)


CP = hexes(
    """0x1.39a296f7d925ep+11 0x1.052d26b2e45e4p+15 0x1.06c1c55b78f20p+16 0x1.66c3e869b752ap+15
    0x1.ad1d8cd4ee71dp+13 0x1.ece5d2213c0ccp+10 0x1.0a4888b1a436ep+7 0x1.b18d91e9eef75p+1"""
)
CQ = hexes(
    """0x1.46a7eca984b69p+12 0x1.c0e457cb1ae76p+14 0x1.3317caa64f4bep+15 0x1.4b772d5d65266p+14
    0x1.512322e75c89fp+12 0x1.5797efdc8b3f7p+9 0x1.5281b386e1ab5p+5 0x1p+0"""
)
TP = hexes(
    """0x1.9615ac0b7ace9p-11 0x1.744eb6c45ec67p-6 0x1.ef2abb9b85c37p-3 0x1.453cc085375b2p+0
    0x1.d2ecb1a3d02c4p+1 0x1.713f71462256ap+2 0x1.2857748cab19bp+2 0x1.6c665fde9526ap+0"""
)
TQ = hexes(
    """0x1.20d3f686439e4p-30 0x1.1f18cbfdf2728p-11 0x1.f207a7eab17bfp-7 0x1.2f5123394f040p-3
    0x1.61292f23385c9p-1 0x1.ad278e6526633p+0 0x1.06cefbb46a449p+1 0x1p+0"""
)


def inverse_normal(u: Floats) -> Floats:
    u = np.asarray(u, np.float64)
    c = u - 0.5
    r = 0.180625 - c * c
    inner = (c * poly(r, CP)) / poly(r, CQ)
    t = np.sqrt(-log(np.minimum(u, 1 - u))) - 1.6
    outer = poly(t, TP) / poly(t, TQ)
    return np.where(np.abs(c) <= 0.425, inner, np.where(c < 0, -outer, outer))


def philox(counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """9.8: of counters (n, 4), words of 32 bits each."""
    c0, c1, c2, c3 = counters.T
    k0, k1 = 0, 0
    for _ in range(10):
        one, other = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        low = np.uint64(0xFFFFFFFF)
        c0, c1, c2, c3 = (
            (other >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            other & low,
            (one >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            one & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], 1)


def noise(picture: int, step: int, count: int) -> Floats:
    """Of latents 0 .. count - 1."""
    counters = np.zeros((-(-count // 4), 4), np.uint64)
    counters[:, 0] = np.arange(len(counters))
    counters[:, 1], counters[:, 2] = picture, step
    return inverse_normal((philox(counters).ravel()[:count] + 0.5) * 2.0**-32)
