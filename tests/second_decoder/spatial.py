"""Section 10.8: convolutional models, for tiles of any size. Pixels are [N, h, w, C]."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from second_decoder.dense import Pixels, Stage, place_pairs, posterior_of
from second_decoder.distributions import finds, mixture_starts, pairs
from second_decoder.functions import Floats, sigmoid
from second_decoder.mixture import gradient, mixture
from second_decoder.networks import GRADIENT_BITS, GRADIENT_LIMIT, Network, Tensors, to_grid
from second_decoder.rans import Find

Offsets = list[tuple[int, int]]


class Part(NamedTuple):
    """A stage of a model: which pixels it codes, and its network with what this sees."""

    stride: int
    row: int
    column: int
    network: Network
    context: Offsets


class Scale(NamedTuple):
    stride: int
    features: Network
    context: Offsets
    context_stride: int
    parts: list[Part]


class SpatialModel:
    def __init__(self, description: dict[str, Any], tensors: Tensors):
        info = description["info"]
        self.channels, self.levels, self.components = info["channels"], info["levels"], info["components"]
        self.downscale, self.latent_channels = info["downscale"], info["latent_channels"]
        self.latent_bits, self.learning_rate = info["latent_bits"], info["learning_rate"]
        self.grid_log2_steps = info["grid_log2_steps"]
        self.least_log_scale = info.get("least_log_scale", -7)
        self.encoder = Network("encoder", description["encoder"], tensors)
        self.scales: list[Scale] = []
        known: list[tuple[int, int, int]] = []
        before = 0
        for number, scale in enumerate(description["scales"]):
            where, stride = f"scales.{number}", scale["stride"]
            context = _offsets(known, before) if before else []
            features = Network(f"{where}.features", scale["features"], tensors)
            parts = []
            for place, stage in enumerate(scale["stages"]):
                network = Network(f"{where}.stages.{place}", stage["layers"], tensors)
                parts.append(Part(stride, stage["row"], stage["column"], network, _offsets(known, stride)))
                known.append((stride, stage["row"], stage["column"]))
            self.scales.append(Scale(stride, features, context, before, parts))
            before = stride

    @property
    def shifts(self) -> int:
        return self.channels * sum(len(scale.parts) for scale in self.scales)


def _offsets(known: Sequence[tuple[int, int, int]], stride: int) -> Offsets:
    """Those within stride x stride all of whose pixels these (stride, row, column) hold."""
    period = max([stride, *(one[0] for one in known)])
    have = np.zeros((period, period), bool)
    for step, row, column in known:
        have[row::step, column::step] = True
    return [(a, b) for a in range(stride) for b in range(stride) if have[a::stride, b::stride].all()]


class SizedModel:
    """For tiles of h x w with these scale shifts, or none."""

    def __init__(self, model: SpatialModel, height: int, width: int, shifts: Sequence[int]):
        self.model, self.height, self.width = model, height, width
        self.down = -(-height // model.downscale)
        self.across = -(-width // model.downscale)
        self.latent = self.down * self.across * model.latent_channels
        self.latent_bits, self.learning_rate = model.latent_bits, model.learning_rate
        self.grid_steps = np.tile(2.0 ** np.array(model.grid_log2_steps), self.down * self.across)
        self.shifts = list(shifts) or [0] * model.shifts

    def empty(self, count: int) -> Pixels:
        return np.zeros((count, self.height, self.width, self.model.channels), np.int64)

    def _padded(self, pixels: Pixels, **options: Any) -> Floats:
        d = self.model.downscale
        below, right = self.down * d - self.height, self.across * d - self.width
        return np.pad(pixels, ((0, 0), (0, below), (0, right), (0, 0)), **options).astype(np.float64)

    def posterior(self, pixels: Pixels) -> tuple[Floats, Floats]:
        encoder = self.model.encoder
        return posterior_of(encoder.forward(self._padded(pixels, mode="edge")), encoder.output.bits)

    def _input(self, network: Network, features: Floats, offsets: Offsets, stride: int, pixels: Pixels) -> Floats:
        """The features, and the context."""
        padded = self._padded(pixels)
        bits = network.input.bits - (0 if self.model.levels == 2 else 8)
        values = [padded[:, a::stride, b::stride] * 2.0**bits for a, b in offsets]
        return np.concatenate([features, *values], 3)

    def _latent_input(self, z: Floats) -> Floats:
        shaped = z.reshape(len(z), self.down, self.across, -1)
        return to_grid(shaped, *self.model.scales[0].features.input)

    def _feature_inputs(self, z: Floats, pixels: Pixels, scales: int) -> tuple[list[Floats], Floats]:
        """The inputs of the first so many feature networks, and the output of the last."""
        inputs = []
        features = self._latent_input(z)
        for scale in self.model.scales[:scales]:
            if scale.context_stride:
                features = self._input(scale.features, features, scale.context, scale.context_stride, pixels)
            inputs.append(features)
            features = scale.features.forward(features)
        return inputs, features

    def view(self, part: Part, pixels: Pixels) -> Pixels:
        return pixels[:, part.row :: part.stride, part.column :: part.stride]

    def _outputs(self, part: Part, stage_input: Floats) -> Floats:
        """[N, rows, columns, K, components] of the pixels that lie in the tile."""
        outputs = part.network.forward(stage_input)
        rows, columns = self.view(part, self.empty(1)).shape[1:3]
        return outputs[:, :rows, :columns].reshape(len(outputs), rows, columns, -1, self.model.components)

    def _mixture(self, part: Part, number: int, outputs: Floats, channel: int, pixels: Pixels) -> tuple[Floats, ...]:
        """[components, N * rows * columns] of one channel, given the channels before."""
        count = self.model.channels
        flat = outputs.reshape(-1, outputs.shape[3], outputs.shape[4]).transpose(1, 2, 0)
        x = self.view(part, pixels).reshape(-1, count)
        means = flat[channel]
        for before in range(channel):
            means = means + flat[self._coefficient(channel, before)] * ((x[:, before] - 128) * 2.0**-8)
        bits = part.network.output.bits
        shift = self.shifts[number * count + channel]
        scales = flat[count + channel] + shift * (2.0**-3 / 2.0**-bits)
        logits = flat[2 * count + channel] if self.model.components > 1 else None
        return mixture(means, scales, logits, bits, self.model.least_log_scale)

    def _coefficient(self, channel: int, before: int) -> int:
        first = self.model.channels * (3 if self.model.components > 1 else 2)
        return first + {(1, 0): 0, (2, 0): 1, (2, 1): 2}[channel, before]

    def stages(self, z: Floats) -> list[Stage]:
        found = []
        number = 0
        for place, scale in enumerate(self.model.scales):
            features: list[Floats] = []  # known once a stage is decoded
            for part in scale.parts:
                if self.view(part, self.empty(1)).size:
                    found += self._stages_of(part, number, place, z, features)
                number += 1
        return found

    def _stages_of(self, part: Part, number: int, scale: int, z: Floats, features: list[Floats]) -> list[Stage]:
        outputs: list[Floats] = []

        def find(channel: int, pixels: Pixels) -> list[Find]:
            if not features:
                features.append(self._feature_inputs(z, pixels, scale + 1)[1])
            if channel == 0:
                given = self._input(part.network, features[0], part.context, part.stride, pixels)
                outputs[:] = [self._outputs(part, given)]
            if self.model.levels == 2:
                logits = outputs[0].reshape(len(z), -1).astype(np.int64)
                return [one for image in logits for one in pairs(image, part.network.output.bits)]
            return finds(mixture_starts(*self._mixture(part, number, outputs[0], channel, pixels)))

        def place(channel: int, symbols: list[int], pixels: Pixels) -> None:
            view = self.view(part, pixels)[..., channel]
            if self.model.levels == 2:
                view[:] = place_pairs(symbols, len(view), view[0].size).reshape(view.shape)
            else:
                view[:] = np.array(symbols).reshape(view.shape)

        bits = 30 if self.model.levels == 2 else 24
        return [Stage(bits, partial(find, c), partial(place, c)) for c in range(self.model.channels)]

    def gradient(self, pixels: Pixels, z: Floats) -> Floats:
        """10.6, from the last scale to the latents."""
        inputs, _ = self._feature_inputs(z, pixels, len(self.model.scales))
        number = len(self.shifts) // self.model.channels
        after: Floats | float = 0.0
        for scale, given in zip(self.model.scales[::-1], inputs[::-1], strict=True):
            features = scale.features.forward(given)
            total: Floats = np.zeros_like(features) + after
            number -= len(scale.parts)
            for place, part in enumerate(scale.parts):
                stage_input = self._input(part.network, features, part.context, part.stride, pixels)
                at_outputs = self._output_gradient(part, number + place, stage_input, pixels)
                total += part.network.backward(stage_input, at_outputs)[..., : features.shape[3]]
            total = np.clip(total, -GRADIENT_LIMIT, GRADIENT_LIMIT)
            context = self.model.channels * len(scale.context)
            after = scale.features.backward(given, total)[..., : given.shape[3] - context]
        assert not isinstance(after, float)
        return after.reshape(len(z), -1) * 2.0**-GRADIENT_BITS

    def _output_gradient(self, part: Part, number: int, stage_input: Floats, pixels: Pixels) -> Floats:
        """On the grid, in the shape of the stage's outputs."""
        outputs = self._outputs(part, stage_input)
        whole = np.zeros((*stage_input.shape[:3], outputs.shape[3] * outputs.shape[4]))
        g = np.zeros_like(outputs)
        x, count = self.view(part, pixels), self.model.channels
        if self.model.levels == 2:
            g[..., 0, 0] = x[..., 0] - sigmoid(outputs[..., 0, 0] * 2.0**-part.network.output.bits)
        else:
            flat = g.reshape(-1, *g.shape[3:])
            values = x.reshape(-1, count).astype(np.float64)
            for channel in range(count):
                found = self._mixture(part, number, outputs, channel, pixels)
                for kind, one in enumerate(gradient(*found, values[:, channel])):
                    if kind < 2 or self.model.components > 1:
                        flat[:, kind * count + channel] = one.T
                for before in range(channel):
                    factor = (values[:, before] - 128) * 2.0**-8
                    flat[:, self._coefficient(channel, before)] = flat[:, channel] * factor[:, None]
        whole[:, : g.shape[1], : g.shape[2]] = g.reshape(*g.shape[:3], -1)
        return to_grid(whole, GRADIENT_BITS, GRADIENT_LIMIT)
