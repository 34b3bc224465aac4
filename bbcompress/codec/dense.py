"""The dense exact VAE: fully connected integer networks, for images of one size."""

from dataclasses import dataclass

import numpy as np

from bbcompress.codec import bilevel
from bbcompress.codec.mixture import Mixture
from bbcompress.codec.model import LOG_SCALE_RANGE, NETWORK_BATCH, Pixels, Posterior, Stage, even_slices
from bbcompress.coding.rans import Divisible, Symbols
from bbcompress.exact import functions
from bbcompress.exact.engine import Engine
from bbcompress.exact.functions import Floats
from bbcompress.exact.network import GRADIENT_BITS, GRADIENT_LIMIT, Network, Tape, to_grid
from bbcompress.exact.selfcheck import require_exact_arithmetic


@dataclass(frozen=True)
class DenseInfo:
    """What a model is for and how to use it; part of the model file, and of its identity."""

    name: str
    height: int
    width: int
    channels: int
    levels: int
    """Pixel values are 0 .. levels - 1: 2 (Bernoulli) or 256 (mixture of discretised logistics)."""
    components: int
    """Logistic components; 1 for Bernoulli."""
    latent: int
    latent_bits: int
    """Latents are coded in 2^latent_bits bins of equal prior mass."""
    grid_log2_steps: tuple[int, ...]
    """Log2 of the grid step of each latent in the two-part code of a chain's first images."""
    learning_rate: float
    """Adam's step size in refinement."""

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels

    @property
    def size(self) -> str:
        """For people: the size of images."""
        return f"{self.width}x{self.height}"

    @property
    def subpixels(self) -> int:
        return self.height * self.width * self.channels


class DenseModel:
    """An exact VAE with a standard normal prior, for images of `info.shape`; it is its own `SizedModel`.

    Networks are run on at most `batch` images at a time, which bounds memory and changes no bit.
    """

    stages = 1

    def __init__(
        self,
        info: DenseInfo,
        encoder: Network,
        decoder: Network,
        identity: bytes,
        engine: Engine,
        batch: int = NETWORK_BATCH,
    ):
        require_exact_arithmetic(engine)
        self.info, self.identity = info, identity
        self._encoder, self._decoder = encoder, decoder
        self.engine, self._batch = engine, batch
        self.subpixels, self.latent, self.latent_bits = info.subpixels, info.latent, info.latent_bits
        self.grid_steps = np.ldexp(1.0, np.array(info.grid_log2_steps))
        self.learning_rate = info.learning_rate

    @property
    def bound(self) -> float:
        """Largest magnitude any sum of either network can reach, below 2^53."""
        return max(self._encoder.bound, self._decoder.bound)

    def sized(self, height: int, width: int) -> "DenseModel":
        """The model for images of this size. Raises ValueError where there is none."""
        if (height, width) != (self.info.height, self.info.width):
            raise ValueError(f"{self.info.name} has no images of {width}x{height}")
        return self

    def posterior(self, pixels: Pixels) -> Posterior:
        encoder, inputs = self._encoder, pixels.astype(np.float64)
        parts = self.engine.map(lambda rows: encoder.forward(inputs[rows], self.engine), self.batches(len(pixels)))
        output = np.concatenate(parts, dtype=np.float64)
        output *= 2.0**-encoder.output.fraction_bits
        mean, log_scale = np.split(output, 2, axis=1)
        return Posterior(np.ascontiguousarray(mean), np.clip(log_scale, *LOG_SCALE_RANGE))

    def likelihood(self, latent: Floats) -> list[Stage]:
        output = self._decoder.forward(self._on_grid(latent), self.engine).astype(np.float64)
        if self.info.levels == 2:
            return [_Bits(bilevel.distribution(output, self._decoder.output.fraction_bits))]
        return [_Values(self._mixture(output).distribution())]

    def grad_z(self, pixels: Pixels, latent: Floats) -> Floats:
        def gradient(rows: slice) -> Floats:
            tape: Tape = []
            output = self._decoder.forward(self._on_grid(latent[rows]), self.engine, tape).astype(np.float64)
            on_grid = to_grid(self._output_gradient(output, pixels[rows]), GRADIENT_BITS, GRADIENT_LIMIT)
            return self._decoder.backward(on_grid, tape, self.engine)

        return np.concatenate(self.engine.map(gradient, self.batches(len(pixels)))) * 2.0**-GRADIENT_BITS

    def batches(self, count: int) -> list[slice]:
        return even_slices(count, self._batch)

    def _on_grid(self, latent: Floats) -> Floats:
        return to_grid(latent, self._decoder.input.fraction_bits, self._decoder.input.limit)

    def _mixture(self, output: Floats) -> Mixture:
        parts = output.reshape(len(output), -1, self.info.components, self.subpixels).transpose(1, 2, 0, 3)
        return Mixture.of(parts, 2.0**-self._decoder.output.fraction_bits)

    def _output_gradient(self, output: Floats, pixels: Pixels) -> Floats:
        """d log p(x|z) / d output, per unit of output, (N, outputs)."""
        values = pixels.astype(np.float64)
        if self.info.levels == 2:
            values -= functions.sigmoid(output * 2.0**-self._decoder.output.fraction_bits)
            return values
        return np.stack(self._mixture(output).gradients(values)).transpose(2, 0, 1, 3).reshape(output.shape)


class _Values:
    """All subpixels at once."""

    def __init__(self, distribution: Divisible):
        self._distribution = distribution

    def distribution(self, pixels: Pixels) -> Divisible:
        return self._distribution

    def symbols(self, pixels: Pixels) -> Symbols:
        return pixels.astype(np.int64).ravel()

    def place(self, symbols: Symbols, pixels: Pixels) -> None:
        pixels[:] = symbols.reshape(pixels.shape)


class _Bits(_Values):
    """All subpixels, of two levels."""

    def symbols(self, pixels: Pixels) -> Symbols:
        return bilevel.symbols(pixels)

    def place(self, symbols: Symbols, pixels: Pixels) -> None:
        pixels[:] = bilevel.pixels(symbols, *pixels.shape)
