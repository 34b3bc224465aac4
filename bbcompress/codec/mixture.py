"""Mixtures of discretised logistics, exactly: from the integers that a decoder puts out, and the gradient at them."""

from typing import NamedTuple

import numpy as np

from bbcompress.coding.distributions import LogisticMixture
from bbcompress.exact import functions
from bbcompress.exact.functions import Floats

LOG_SCALE_RANGE = (-7.0, 3.0)
"""Log scales, with the image's range as 1, are clamped to this range; a model may have a lower end of its own."""
SMALLEST_MASS = 2.0**-24
_LOG_256 = 8 * 0.6931471805599453


class Mixture(NamedTuple):
    """Means and log scales in pixel values, and weights; all (components, ...)."""

    means: Floats
    log_scales: Floats
    weights: Floats

    @staticmethod
    def of(parts: Floats, unit: float, least_log_scale: float = LOG_SCALE_RANGE[0]) -> "Mixture":
        """From integers (3, components, ...) of `unit`: means and log scales with the image's range as 1, and logits.

        One component needs no logits: (2, 1, ...).
        """
        means = parts[0] * (unit * 256)
        log_scales = np.clip(parts[1] * unit, least_log_scale, LOG_SCALE_RANGE[1]) + _LOG_256
        if len(parts) == 2:
            return Mixture(means, log_scales, np.ones_like(means))
        weights = functions.exp((parts[2] - parts[2].max(0)) * unit)
        return Mixture(means, log_scales, weights / _sum(weights))

    def distribution(self) -> LogisticMixture:
        """Of values 0 .. 255, flattened."""
        return LogisticMixture(
            self.means.reshape(len(self.means), -1),
            functions.exp(-self.log_scales).reshape(len(self.means), -1),
            self.weights.reshape(len(self.means), -1),
        )

    def gradients(self, values: Floats) -> list[Floats]:
        """d log p(values) / d of the `parts` that it was made of, each (components, ...), per unit of them as reals."""
        inverse_scales = functions.exp(-self.log_scales)
        upper = (values + 0.5 - self.means) * inverse_scales
        lower = (values - 0.5 - self.means) * inverse_scales
        cdf_upper = np.where(values == 255.0, 1.0, functions.sigmoid(upper))
        cdf_lower = np.where(values == 0.0, 0.0, functions.sigmoid(lower))
        mass = np.maximum(cdf_upper - cdf_lower, SMALLEST_MASS)
        # With s = sigmoid: d mass / d mean = -(s'(u) - s'(l)) / scale, and s' = s (1 - s), so that
        # d log mass / d mean = (s(u) + s(l) - 1) / scale.
        d_mean = (cdf_upper + cdf_lower - 1.0) * inverse_scales
        d_log_scale = lower * cdf_lower * (1.0 - cdf_lower) - upper * cdf_upper * (1.0 - cdf_upper)
        d_log_scale /= mass
        if len(self.means) == 1:
            return [d_mean * 256.0, d_log_scale]
        share = self.weights * mass
        share /= _sum(share)
        return [share * d_mean * 256.0, share * d_log_scale, share - self.weights]


def _sum(components: Floats) -> Floats:
    """Over the first axis, in the order of the components."""
    total: Floats = components[0].copy()
    for component in components[1:]:
        total += component
    return total
