"""What is trained, and on what: by how many pictures there are, and of what kind."""

import numpy as np
import pytest

pytest.importorskip("torch")

from bbcompress.train import plan
from bbcompress.train.corrector_run import AS_PHOTOGRAPHS, AS_THEY_ARE, MIRRORED, TURNED


def pictures(count: int, *shape: int) -> list[np.ndarray]:
    """Noise, each the same array."""
    return [np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)] * count


@pytest.mark.parametrize(
    ("found", "small", "scales", "augment", "uses"),
    [
        (pictures(300, 32, 32, 3), True, 1, AS_PHOTOGRAPHS, 1),
        (pictures(3000, 28, 28, 1), True, 1, TURNED, 1),
        (pictures(30_000, 32, 32, 3), True, 3, MIRRORED, 1),
        ([np.zeros((28, 28, 1), np.uint8)] * 3000, True, 1, AS_THEY_ARE, 1),
        (pictures(40, 400, 500, 3), False, 1, TURNED, 3),
        (pictures(40, 8, 96, 96, 3), False, 1, AS_PHOTOGRAPHS, 3),
        (pictures(320, 8, 96, 96, 3), False, 3, AS_PHOTOGRAPHS, 3),
    ],
    ids=["few small", "small", "many small", "drawn", "large", "crops", "many crops"],
)
def test_plan(found: list[np.ndarray], small: bool, scales: int, augment: str, uses: int) -> None:
    assert plan.are_small(found) == small
    assert len(plan.scales(found)) == scales
    assert sorted(stride for strides in plan.scales(found) for stride in strides) == sorted(plan.STRIDES)
    assert plan.augmentation(found, 256) == augment
    assert plan.uses(found, on_gpu=False) == uses
