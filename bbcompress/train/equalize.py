"""Equalising channels before export: the same function, with less lost to rounding.

A layer's range is that of its largest channel, so that in the others most of it is wasted. ReLUs let a channel be
scaled where it is made and scaled back where it is seen (Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction", ICCV 2019): here by the square root of how much smaller its largest value is than
that of the largest, so that channels with little to say in calibration keep room for more.
"""

import torch
from torch import Tensor, nn

from bbcompress.train.spatial_vae import Convolution, Residual

LARGEST_FACTOR = 16.0


@torch.no_grad()
def equalize(network: nn.Module, x: Tensor) -> None:
    """Scale the channels of a stage's network in place, as inputs x (N, C, H, W) use them: first those that its
    residuals add to, then those within each branch."""
    assert isinstance(network, nn.Sequential)
    first, *residuals, last = network
    y, largest = first(x), []
    for residual in residuals:
        largest.append(_largest(y))
        y = residual(y)
    factors = _factors(torch.stack([*largest, _largest(y)]).amax(0))
    _scale_outputs(first, factors)
    for residual in residuals:
        seeing, adding = _branch(residual)
        _scale_inputs(seeing, factors)
        _scale_outputs(adding, factors)
    _scale_inputs(last, factors)
    y = first(x)
    for residual in residuals:
        seeing, adding = _branch(residual)
        factors = _factors(_largest(seeing(y)))
        _scale_outputs(seeing, factors)
        _scale_inputs(adding, factors)
        y = residual(y)


def _branch(residual: nn.Module) -> tuple[Convolution, Convolution]:
    assert isinstance(residual, Residual)
    seeing, adding = residual.branch
    assert isinstance(seeing, Convolution) and isinstance(adding, Convolution)
    return seeing, adding


def _largest(y: Tensor) -> Tensor:
    """Of each channel of (N, C, H, W), which are at least 0."""
    return y.amax((0, 2, 3))


def _factors(largest: Tensor) -> Tensor:
    return (largest.max() / largest).sqrt().clamp(max=LARGEST_FACTOR).nan_to_num(1.0)


def _scale_outputs(layer: nn.Module, factors: Tensor) -> None:
    assert isinstance(layer, Convolution) and layer.convolution.bias is not None
    layer.convolution.weight *= factors.view(-1, 1, 1, 1)
    layer.convolution.bias *= factors


def _scale_inputs(layer: nn.Module, factors: Tensor) -> None:
    assert isinstance(layer, Convolution)
    layer.convolution.weight /= factors.view(1, -1, 1, 1)
