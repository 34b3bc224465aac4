"""Random changes of training images, which make more of them."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def flipped(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """A random half of pixels (N, C, H, W) turned left to right."""
    turned = torch.rand(len(pixels), 1, 1, 1, generator=generator, device=pixels.device) < 0.5
    return torch.where(turned, pixels.flip(3), pixels)


def distorted(shades: Tensor, amount: float | Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """Shades (N, C, H, W) uint8, turned, sheared and stretched about their centre by up to `amount`.

    Each entry of an image's 2 x 2 map differs from the identity's by a uniform number up to `amount`; outside is black.
    Returns shades, or for 2 levels 1 where a new shade / 255 >= 0.5: strokes keep their smooth edges so, which they
    would not if rounded images were distorted.
    """
    count = len(shades)
    maps = torch.eye(2, 3, device=shades.device).repeat(count, 1, 1)
    noise = torch.rand(count, 2, 2, generator=generator, device=shades.device)
    maps[:, :, :2] += amount * (2 * noise - 1)
    grid = affine_grid(maps, list(shades.shape), align_corners=False)
    moved = grid_sample(shades.float(), grid, mode="bilinear", align_corners=False)
    return (moved >= 127.5 if levels == 2 else moved.round()).to(torch.uint8)
