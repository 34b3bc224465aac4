"""Training is never lost: whatever weights come of it, there is an exact model of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bbcompress.codec.corrector_file import CorrectorContents, CorrectorModel  # noqa: E402
from bbcompress.codec.dense import DenseInfo  # noqa: E402
from bbcompress.codec.model_file import load, read, read_header, read_with_latents, save  # noqa: E402
from bbcompress.codec.registry import shipped_models  # noqa: E402
from bbcompress.codec.spatial_file import SpatialContents  # noqa: E402
from bbcompress.exact.int8 import Network  # noqa: E402
from bbcompress.train.architectures import export, restore, to_tensor  # noqa: E402
from bbcompress.train.corrector_networks import CorrectorNetworks, RoundedConvolution, SliceNetwork  # noqa: E402
from bbcompress.train.grow import with_sharpest_mixtures  # noqa: E402
from bbcompress.train.loop import TrainingOptions, TrainingState  # noqa: E402

SHIPPED = sorted(shipped_models().glob("*.safetensors"))
CORRECTORS = [path for path in SHIPPED if read_header(path).description["format"] == CorrectorContents.FORMAT]
SLOW_BYTES = 600_000
"""Convolutional models of as many take long."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (spatial and path.stat().st_size > SLOW_BYTES))
        for path in SHIPPED
        if path not in CORRECTORS
        for spatial in [read_header(path).description["format"] == SpatialContents.FORMAT]
    ],
)
def test_a_step_from_a_shipped_model_can_be_exported(path: Path, tmp_path: Path) -> None:
    contents = read_with_latents(path)
    info = contents.info
    size = (info.height, info.width) if isinstance(info, DenseInfo) else (32, 32)
    random = np.random.default_rng(0)
    images = np.cumsum(random.integers(0, 12, (4, *size, info.channels)), 2) % info.levels
    model = with_sharpest_mixtures(restore(contents))
    pixels = to_tensor(model, images.astype(np.uint8))
    state = TrainingState(model, TrainingOptions())
    rate, warmth, share = torch.tensor(1e-3), torch.tensor(1.0), torch.tensor(1.0)
    state.take_step(pixels, rate, warmth, share, [torch.Generator().manual_seed(0)])
    export(model, pixels, "after", tmp_path / "after.safetensors")
    assert load(tmp_path / "after.safetensors").identity != read_header(path).identity


@pytest.mark.parametrize("path", CORRECTORS, ids=[path.stem for path in CORRECTORS])
def test_a_shipped_corrector_is_restored_whole_and_exported_after_a_step(path: Path, tmp_path: Path) -> None:
    model, contents = load(path), read(path)
    assert isinstance(model, CorrectorModel) and isinstance(contents, CorrectorContents)
    networks = CorrectorNetworks.restored(model.corrector)
    save(tmp_path / "same.safetensors", replace(contents, scales=networks.exported().scales))
    assert load(tmp_path / "same.safetensors").identity == model.identity
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.01
    save(tmp_path / "after.safetensors", replace(contents, scales=networks.exported().scales))
    assert load(tmp_path / "after.safetensors").identity != model.identity


@pytest.mark.parametrize(
    ("weight", "bias"), [(1e-9, 1e9), (1e9, 0), (63, 1e5), (1e9, -1e9), (0, 1e12), (1e-3, 3e5), (0, 0)]
)
def test_convolutions_of_any_weights_are_exported(weight: float, bias: float) -> None:
    layer = RoundedConvolution(1024, 2, 3)
    torch.nn.init.constant_(layer.kernel.weight, weight)
    assert layer.kernel.bias is not None
    torch.nn.init.constant_(layer.kernel.bias, bias)
    exact = layer.exported()
    assert exact.bound < 2**24
    x = torch.full((1, 1024, 1, 1), 0.25)
    with torch.no_grad():
        trained = layer(x).clamp(0, 255 / 32)
    sums = exact.bias + exact.weight[1, 1].astype(np.int64).sum(0) * 8
    whole = np.clip(np.rint(sums / 2.0**exact.shift), 0, 255) / 32
    np.testing.assert_array_equal(trained[0, :, 0, 0].numpy(), whole)


@pytest.mark.parametrize("value", [1e9, -1e9, 0.0])
def test_networks_of_any_weights_are_exported(value: float) -> None:
    network = SliceNetwork(5, 12, 512, 1)
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, value)
    assert isinstance(network.exported(), Network)
