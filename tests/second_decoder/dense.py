"""Section 10.4: models of pictures of one size. Pixels are [N, P]."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from second_decoder.distributions import finds, mixture_starts, pairs
from second_decoder.functions import Floats, sigmoid
from second_decoder.mixture import gradient, mixture
from second_decoder.networks import GRADIENT_BITS, GRADIENT_LIMIT, Network, Tensors, to_grid
from second_decoder.rans import Find

Pixels = NDArray[np.int64]


class Stage(NamedTuple):
    """What one pop of pixels gives, of a batch."""

    bits: int
    finds: Callable[[Pixels], list[Find]]
    """Given the pixels of earlier stages."""
    place: Callable[[list[int], Pixels], None]
    """Symbols into the pixels."""


class Model(Protocol):
    """A model for tiles of one size."""

    latent: int
    latent_bits: int
    grid_steps: Floats
    learning_rate: float

    def empty(self, count: int) -> Pixels:
        """Pixels of so many tiles."""
        ...

    def posterior(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """Means and log scales, [N, D]."""
        ...

    def stages(self, z: Floats) -> Sequence[Stage]:
        """Of latents [N, D], in the order of decoding."""
        ...

    def gradient(self, pixels: Pixels, z: Floats) -> Floats:
        """10.6."""
        ...


def posterior_of(outputs: Floats, bits: int) -> tuple[Floats, Floats]:
    """Of outputs [N, .., 2 * channels]."""
    mean, log_scale = np.split(outputs * 2.0**-bits, 2, axis=-1)
    return mean.reshape(len(mean), -1), np.clip(log_scale, -7, 3).reshape(len(mean), -1)


def place_pairs(symbols: list[int], count: int, pixels: int) -> Pixels:
    """The bits [count, pixels] of pairs, image by image."""
    pairs = np.array(symbols).reshape(count, -1)
    return np.stack([pairs >> 1, pairs & 1], 2).reshape(count, -1)[:, :pixels]


class DenseModel:
    def __init__(self, description: dict[str, Any], tensors: Tensors):
        info = description["info"]
        self.height, self.width, self.levels = info["height"], info["width"], info["levels"]
        self.pixels = self.height * self.width * info["channels"]
        self.components = info["components"]
        self.latent, self.latent_bits = info["latent"], info["latent_bits"]
        self.grid_steps = 2.0 ** np.array(info["grid_log2_steps"])
        self.learning_rate = info["learning_rate"]
        self.encoder, self.decoder = (Network(name, description[name], tensors) for name in ("encoder", "decoder"))

    def empty(self, count: int) -> Pixels:
        return np.zeros((count, self.pixels), np.int64)

    def posterior(self, pixels: Pixels) -> tuple[Floats, Floats]:
        return posterior_of(self.encoder.forward(pixels.astype(np.float64)), self.encoder.output.bits)

    def _outputs(self, z: Floats) -> Floats:
        """[N, 1 or 2 or 3, components, P]."""
        outputs = self.decoder.forward(to_grid(z, *self.decoder.input))
        return outputs.reshape(len(z), -1, self.components, self.pixels)

    def _mixture(self, outputs: Floats) -> tuple[Floats, ...]:
        """Of one picture, [components, P]."""
        logits = outputs[2] if self.components > 1 else None
        return mixture(outputs[0], outputs[1], logits, self.decoder.output.bits, -7)

    def stages(self, z: Floats) -> list[Stage]:
        outputs = self._outputs(z)

        def find(pixels: Pixels) -> list[Find]:
            found: list[Find] = []
            for one in outputs:
                if self.levels == 2:
                    found += pairs(one[0, 0].astype(np.int64), self.decoder.output.bits)
                else:
                    found += finds(mixture_starts(*self._mixture(one)))
            return found

        def place(symbols: list[int], pixels: Pixels) -> None:
            if self.levels == 2:
                pixels[:] = place_pairs(symbols, len(pixels), self.pixels)
            else:
                pixels[:] = np.array(symbols).reshape(pixels.shape)

        return [Stage(30 if self.levels == 2 else 24, find, place)]

    def gradient(self, pixels: Pixels, z: Floats) -> Floats:
        outputs = self._outputs(z)
        if self.levels == 2:
            g = (pixels - sigmoid(outputs[:, 0, 0] * 2.0**-self.decoder.output.bits)).reshape(len(z), -1)
        else:
            parts = [gradient(*self._mixture(one), x) for one, x in zip(outputs, pixels.astype(float), strict=True)]
            g = np.stack([np.stack(part[: outputs.shape[1]]) for part in parts]).reshape(len(z), -1)
        at_outputs = to_grid(g, GRADIENT_BITS, GRADIENT_LIMIT)
        return self.decoder.backward(to_grid(z, *self.decoder.input), at_outputs) * 2.0**-GRADIENT_BITS
