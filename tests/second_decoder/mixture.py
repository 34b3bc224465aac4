"""Sections 10.5 and 10.6: what a network's outputs say of subpixels, and gradients; arrays [components, n]."""

import numpy as np

from second_decoder.functions import Floats, exp, sigmoid

LN_256 = float.fromhex("0x1.62e42fefa39efp+2")


def mixture(means: Floats, scales: Floats, logits: Floats | None, bits: int, least: float) -> tuple[Floats, ...]:
    """Mean, log scale and weight, of outputs with so many fractional bits."""
    u = 2.0**-bits
    log_scale = np.clip(scales * u, least, 3) + LN_256
    return (
        means * (u * 256),
        log_scale,
        shares(exp((logits - logits.max(0)) * u) if logits is not None else None, means),
    )


def shares(e: Floats | None, like: Floats) -> Floats:
    return np.ones_like(like) if e is None else e / _sum(e)


def _sum(parts: Floats) -> Floats:
    """From the first on, one after another."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def gradient(mean: Floats, log_scale: Floats, weight: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Of log p(x) for the means, the log scales and the logits of weights."""
    i = exp(-log_scale)
    up, lo = ((x + 0.5) - mean) * i, ((x - 0.5) - mean) * i
    s_up, s_lo = np.where(x == 255, 1, sigmoid(up)), np.where(x == 0, 0, sigmoid(lo))
    mass = np.maximum(s_up - s_lo, 2.0**-24)
    d_mean = ((s_up + s_lo) - 1) * i
    d_scale = (((lo * s_lo) * (1 - s_lo)) - ((up * s_up) * (1 - s_up))) / mass
    if len(mean) == 1:
        return d_mean * 256, d_scale, np.zeros_like(d_mean)
    share = shares(weight * mass, mean)
    return (share * d_mean) * 256, share * d_scale, share - weight
