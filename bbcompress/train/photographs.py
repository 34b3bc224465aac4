"""Crops of photographs made different: what cameras, scanners and programs do to pictures, alike for a whole group."""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

AS_THEY_ARE = 1 / 3
"""Of all groups."""
CUT, LEAST_CUT_SIDE = 2, 16
"""Rows and columns."""
JPEG_FILES = 0.2
"""Of all groups, as if they had been JPEG files before."""


def changed(crops: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Crops (N, H, W, C) of one photograph, turned and, mostly, changed, as (C, N, h, w); sides may get shorter.

    Of colours the first channel is green, as `bbcompress` codes it, in what comes and in what is given back.
    """
    x = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float()
    if random.random() >= AS_THEY_ARE:
        x = _of_other_size(x, random)
        x = _of_other_light(x, random)
        x = _of_other_colour(x, random)
        x = _grained(x, random)
        x = x.round().clamp(0, 255)
    if random.random() < JPEG_FILES:
        x = _of_jpeg_files(x, random)
    return turned(x.to(torch.uint8).permute(0, 2, 3, 1).numpy(), random)


def turned(crops: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Crops (N, H, W, C) turned, as (C, N, h, w)."""
    x = crops.transpose(3, 0, 1, 2)
    if random.random() < 0.5:
        x = x[:, :, :, ::-1]
    if random.random() < 0.5:
        x = x[:, :, ::-1]
    if random.random() < 0.5:
        x = x.transpose(0, 1, 3, 2)
    return np.ascontiguousarray(x)


def mirrored(crops: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Crops (N, H, W, C), each left to right or not, of half of all groups without some rows and columns, as
    (C, N, h, w): as likely as they were, and seldom what was seen before."""
    x = crops.transpose(3, 0, 1, 2)
    if random.random() < 0.5 and min(x.shape[2:]) > LEAST_CUT_SIDE:
        top, left = random.integers(0, CUT + 1, 2)
        x = x[:, :, top : x.shape[2] - CUT + top, left : x.shape[3] - CUT + left]
    return np.where(random.random(len(crops))[:, None, None] < 0.5, x[..., ::-1], x)


def _of_other_size(x: Tensor, random: np.random.Generator) -> Tensor:
    """A fifth enlarged, a sixth reduced."""
    side, kind = x.shape[2], random.random()
    mode = "bicubic" if random.random() < 0.6 else "bilinear"
    if kind < 0.2:
        part = round(side / random.uniform(1.1, 2.2))
        top, left = random.integers(0, side + 1 - part, 2)
        x = x[:, :, top : top + part, left : left + part]
        return functional.interpolate(x, size=(side, side), mode=mode, align_corners=False)
    if kind < 0.35:
        part = side * int(random.choice([4, 5])) // 6
        return functional.interpolate(x, size=(part, part), mode=mode, antialias=True, align_corners=False)
    return x


def _of_other_light(x: Tensor, random: np.random.Generator) -> Tensor:
    """Contrast, brightness and colour balance."""
    if random.random() >= 0.25:
        return x
    balance = torch.tensor(random.uniform(-5, 5, x.shape[1]), dtype=torch.float32).view(1, -1, 1, 1)
    return (x - 128) * random.uniform(0.5, 1.2) + 128 + random.uniform(-30, 30) + balance


def _of_other_colour(x: Tensor, random: np.random.Generator) -> Tensor:
    """Colour at half the resolution, as JPEG files leave it, and weaker colours."""
    if x.shape[1] == 1:
        return x
    light = x.mean(1, keepdim=True)
    if random.random() < 0.3:
        mode = "bilinear" if random.random() < 0.6 else "nearest"
        x = light + functional.interpolate(functional.avg_pool2d(x - light, 2), size=x.shape[2:], mode=mode)
    if random.random() < 0.15:
        x = light + (x - light) * random.uniform(0, 0.9)
    return x


def _grained(x: Tensor, random: np.random.Generator) -> Tensor:
    """Noise of any colour, fine or coarse, more of it where it is bright; then sharpened, as cameras do."""
    if random.random() < 0.5:
        generator = torch.Generator().manual_seed(int(random.integers(1 << 31)))
        noise, kind = torch.randn(x.shape, generator=generator), random.random()
        if kind < 0.35:
            noise = 2 * _blurred(noise)
        elif kind < 0.5:
            half = noise[:, :, : x.shape[2] // 2, : x.shape[3] // 2]
            noise = functional.interpolate(half, size=x.shape[2:], mode="bicubic", align_corners=False)
        own = random.random()
        noise = noise * own + noise[:, :1] * float(np.sqrt(1 - own * own))
        if random.random() < 0.4:
            noise = noise * (x.clamp(1, 255) / 128).sqrt()
        x = x + noise * (6 * random.random() ** 2.5)
    if random.random() < 0.25:
        x = x + (x - _blurred(x)) * random.uniform(0, 1.5)
    return x


def _of_jpeg_files(x: Tensor, random: np.random.Generator) -> Tensor:
    """Blocks begin at the top left, also when turned, where sides are multiples of 8."""
    quality = int(random.integers(65, 98))
    subsampling = int(random.choice([0, 2]))
    order = [1, 0, 2] if x.shape[1] == 3 else [0]
    changed = []
    for picture in x[:, order].to(torch.uint8).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(picture.squeeze()).save(file, "JPEG", quality=quality, subsampling=subsampling)
        changed.append(np.asarray(Image.open(file)).reshape(picture.shape)[..., order])
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).float()


def _blurred(x: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
