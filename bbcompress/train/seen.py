"""Observations of groups as tensors on a device, where those of the same sizes are one."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bbcompress.train.observe import Observation


class Seen(NamedTuple):
    """An observation of one group or of several of the same sizes, as tensors on a device."""

    stride: int
    stage: int
    depth: int
    tensors: tuple[Tensor, ...]
    """What is seen, values, errors, classes, shapes: see `bbcompress.train.observe.Observation`."""

    @property
    def layout(self) -> tuple[int, int, int, tuple[int, ...]]:
        """Stride, stage, bits of values, shape of what is seen."""
        return self.stride, self.stage, self.depth, tuple(self.tensors[0].shape)


_PICTURES = (0, 1, 1, 1, 1)
"""The axis of pictures in each of the tensors."""


def placed(o: Observation, device: torch.device) -> Seen:
    """An observation on a device; shapes become (channels, N), as other pictures may have others."""
    arrays = (torch.from_numpy(array) for array in (o.seen, o.values, o.errors, o.classes))
    shapes = torch.tensor(o.shapes, dtype=torch.float32)[:, None].expand(-1, len(o.seen))
    return Seen(o.stride, o.stage, o.depth, tuple(tensor.to(device) for tensor in (*arrays, shapes)))


def joined(groups: Sequence[Sequence[Seen]]) -> list[Seen]:
    """Observations of groups: of those of the same sizes as one, which takes a GPU hardly longer than one of them."""
    alike: dict[tuple[object, ...], list[Sequence[Seen]]] = {}
    for group in groups:
        alike.setdefault(tuple(seen.layout for seen in group), []).append(group)
    found = []
    for same in alike.values():
        for each in zip(*same, strict=True):
            of_all = zip(*(seen.tensors for seen in each), strict=True)
            tensors = tuple(
                torch.cat(parts, axis) if len(parts) > 1 else parts[0]
                for parts, axis in zip(of_all, _PICTURES, strict=True)
            )
            found.append(each[0]._replace(tensors=tensors))
    return found
