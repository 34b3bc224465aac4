"""An archive is a map-style dataset of torch, read by several workers."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import bbcompress  # noqa: E402


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_an_archive(context: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 6), np.uint8)
    (tmp_path / "a.bb").write_bytes(bbcompress.compress_many(images, effort=1))
    with bbcompress.open(tmp_path / "a.bb", threads=2) as archive:
        _ = archive[0]
        loader = torch.utils.data.DataLoader(
            archive,
            batch_size=4,
            shuffle=True,
            num_workers=2,
            multiprocessing_context=context,
            generator=torch.Generator().manual_seed(0),
        )
        found = torch.cat(list(loader)).numpy()
    assert found.dtype == np.uint8
    assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in images)
