"""Networks that correct predictors: exact whatever computes them, harmless when silent, refused when wrong."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import make_corrector
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_lattice import photograph

from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.limits import MAX_PIXELS
from bbcompress.archive.payload import Lattice
from bbcompress.archive.planes import PlanesForm
from bbcompress.codec import fit_gain, lattice, lattice_encoder, lattice_walk
from bbcompress.codec.corrections import Corrections
from bbcompress.codec.corrector import Corrector, relative_error
from bbcompress.codec.corrector_file import CorrectorModel
from bbcompress.codec.general import general
from bbcompress.codec.lattice import STAGES, Planes, Scale
from bbcompress.codec.lattice_decoder import decode
from bbcompress.codec.lattice_encoder import encode
from bbcompress.codec.lattice_walk import Part, Shape, Stage
from bbcompress.codec.model_file import BadModel, identity, load, read, read_header, read_with_latents, save
from bbcompress.codec.parameters import FITTED_STRIDES, Parameters, pack
from bbcompress.codec.predictor import Piece, Predictor, Unit
from bbcompress.codec.registry import Registry
from bbcompress.exact.engine import Engine
from bbcompress.exact.network import InexactNetwork

ENGINE = Engine()


def made(channels: int, last: int = 60) -> Corrector:
    contents = make_corrector(channels, last=last)
    return Corrector(channels, contents.scales, contents.predictors)


def corrected_by(gain: int, wider: int = 0) -> Callable[..., Predictor]:
    """What chooses no gain but this."""
    return lambda own, *_: own._replace(gain=gain, wider=wider)


def assert_round_trip(pictures: list[np.ndarray], depth: int, corrector: Corrector, engine: Engine = ENGINE) -> bytes:
    data = encode(pictures, depth, corrector, engine).data
    shapes = [Shape(*group.shape[1:]) for group in pictures]
    decoded = decode(data, shapes, len(pictures[0]), depth, corrector, engine)
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(decoded, pictures, strict=True))
    return data


@pytest.mark.parametrize(("channels", "depth"), [(3, 8), (1, 8), (1, 16)])
def test_networks_that_say_nothing_leave_the_predictors_alone(
    channels: int, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_gain, "WIDER", ())
    monkeypatch.setattr(fit_gain, "NARROWER", ())
    pictures = [photograph(channels, 70, 55, depth), photograph(channels, 9, 12, depth, pictures=2)]
    assert assert_round_trip(pictures, depth, made(channels, last=0)) == encode(pictures, depth, None, ENGINE).data


@pytest.mark.parametrize(("gain", "wider"), [(0, 0), *((gain, gain % 8 - 4) for gain in range(1, 9))])
def test_every_gain_comes_back(gain: int, wider: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_encoder, "with_gain", corrected_by(gain, wider))
    pictures = [photograph(1, 14, 11)]
    data = assert_round_trip(pictures, 8, made(1))
    alone = assert_round_trip(pictures, 8, made(1, last=0))
    assert (data == alone) == (gain == 0)


def test_what_makes_pictures_larger_counts_for_nothing() -> None:
    """Networks that no training made are wrong almost always."""
    picture, corrector = photograph(3, 96, 80), made(3)
    # coarser scales are the model's alone
    scales = (scale._replace(strides=tuple({*scale.strides} & {*FITTED_STRIDES})) for scale in corrector.scales)
    data = assert_round_trip([picture], 8, Corrector(3, tuple(scales), {}))
    assert len(data) < 1.02 * len(encode([picture], 8, None, ENGINE).data) + 100


@pytest.mark.parametrize("good", [True, False])
def test_predictors_of_a_model_are_for_its_kind_of_pictures(good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those fitted to the same pictures leave nothing to fit; where they are wrong, files bring their own."""
    pictures = [photograph(1, 24, 24, pictures=60)]
    found: list[Parameters] = []

    def kept(parameters: Parameters, *arguments: Any) -> bytes:
        found.append(parameters)
        return pack(parameters, *arguments)

    monkeypatch.setattr(lattice_encoder, "pack", kept)
    alone = encode(pictures, 8, None, ENGINE).data
    of_model = found[0]
    if not good:
        of_model = {key: own._replace(knots=own.knots + 12, weights=-own.weights) for key, own in of_model.items()}
    data = assert_round_trip(pictures, 8, Corrector(1, (), of_model))
    assert bool(found[1]) is not good
    assert len(data) < len(alone) + (-100 if good else 100)


@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (3, 8), (1, 16), (3, 16), (1, 11)])
@pytest.mark.parametrize(
    "sizes", [[(1, 1, 1)], [(1, 2, 1), (2, 1, 3)], [(3, 17, 9), (1, 33, 16)]], ids=["pixel", "lines", "odd"]
)
def test_pictures_come_back(
    channels: int, depth: int, sizes: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lattice_encoder, "with_gain", corrected_by(5))
    assert_round_trip([photograph(channels, h, w, depth, n) for n, h, w in sizes], depth, made(channels))


def test_the_same_bytes_whatever_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_encoder, "with_gain", corrected_by(8))
    monkeypatch.setattr(lattice_walk, "PIECE_PIXELS", 300)
    monkeypatch.setattr(lattice_walk, "PIECE_ROWS", 1)
    pictures, corrector = [photograph(3, 50, 41), photograph(3, 16, 16, pictures=3)], made(3)
    found = {
        assert_round_trip(pictures, 8, corrector, Engine(threads, name))
        for threads in (1, 3)
        for name in ("numpy", "onnx")
    }
    assert len(found) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_rows_are_corrected_alike_wherever_a_piece_begins(stage: int) -> None:
    picture, corrector = photograph(3, 64, 40, pictures=2), made(3)
    known = picture[:, :, ::2, ::2]
    random = np.random.default_rng(stage)
    errors, relative = random.integers(0, 90, known.shape), random.integers(0, 256, known.shape)
    scale = Scale(2, Planes(known, errors.astype(np.uint16), relative.astype(np.uint8)), 64, 40)
    for before in range(lattice.DIAGONAL, stage):
        for channel in range(3):
            scale.inside(scale.pixels, before, channel)[:] = scale.split(picture, before)[channel]
            scale.extend(before, channel)
    rows, columns = scale.size(stage)
    errors = np.random.default_rng(9).integers(0, 256, (2, rows, columns))

    def corrected(height: int) -> list[np.ndarray]:
        """What is said of each channel, in bands of so many rows."""
        parts = [
            Part(0, Piece(slice(0, 2, 1), slice(top, min(top + height, rows), 1), slice(0, columns, 1)))
            for top in range(0, rows, height)
        ]
        networks = Corrections(corrector, Stage(2, stage, parts), {0: scale}, 8, ENGINE)
        found = []
        for channel in range(3):
            unit = Unit(stage, channel, 3)
            for number in range(len(parts)):
                networks.predict(general(unit), unit, number)
                networks.begin(channel, number)
            said = [networks.of(channel, number) for number in range(len(parts))]
            for field in range(4):
                of_field = [
                    one[field].reshape(2, part.piece.shape[1], columns, -1)
                    for one, part in zip(said, parts, strict=True)
                ]
                found.append(np.concatenate(of_field, 1))
            if channel == 0:
                scale.inside(scale.relative, stage, 0)[:] = errors
                scale.extend(stage, 0)
        return found

    whole = corrected(rows)
    assert sum(part.any() for part in whole) == 11  # all but the couplings of the first channel
    for height in 1, 3, 13:
        for one, other in zip(whole, corrected(height), strict=True):
            np.testing.assert_array_equal(one, other)


# --- model files ------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "corrector.safetensors"
    save(path, make_corrector(1))
    return path


def test_a_model_file_comes_back(path: Path) -> None:
    contents, model = make_corrector(1), load(path)
    assert isinstance(model, CorrectorModel)
    assert read_header(path).info == model.info == contents.info
    assert model.identity == identity(contents) == read_header(path).identity
    read_back = read(path).tensors()
    assert read_back.keys() == contents.tensors().keys()
    assert all(np.array_equal(tensor, read_back[name]) for name, tensor in contents.tensors().items())
    pictures = [photograph(1, 20, 20)]
    assert encode(pictures, 8, model.corrector, ENGINE).data == encode(pictures, 8, made(1), ENGINE).data
    with pytest.raises(BadModel, match="no latents"):
        read_with_latents(path)


def rewrite(path: Path, description: Callable[[dict[str, Any]], object], tensors: Callable[[Any], object]) -> None:
    """Change a model file by hand, as an attacker would; its identity stays what it says."""
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    found, content = load_file(path), json.loads(metadata["bbcompress"])
    description(content)
    tensors(found)
    save_file(found, path, {**metadata, "bbcompress": json.dumps(content)})


def info(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda description: description["info"].update(fields)


def strides(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda description: description["scales"][0].update(strides=value)


def stages(change: Callable[[list[Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda description: change(description["scales"][0]["stages"])


@pytest.mark.parametrize(
    "damage",
    [
        info(channels=3),
        info(channels=2),
        info(channels="1"),
        info(name=""),
        info(name="two\nlines"),
        info(name="x" * 10_000),
        info(name=7),
        info(levels=256),
        info(levels=2, channels=3),
        info(levels=4),
        info(most_pixels=0),
        info(most_pixels=True),
        info(most_pixels=2**32 + 1),
        info(most_pixels=None),
        lambda description: description["info"].pop("name"),
        lambda description: description.pop("info"),
        lambda description: description.update(info=[]),
        lambda description: description.pop("predictors"),
        lambda description: description.update(predictors=[4]),
        lambda description: description.pop("scales"),
        lambda description: description.update(scales={}),
        lambda description: description["scales"].clear(),
        lambda description: description["scales"].append(description["scales"][0]),
        strides([]),
        strides({}),
        strides([2, 4]),
        strides([4, 4]),
        strides([6, 2]),
        strides([1]),
        strides([1 << 16]),
        strides([True]),
        strides([4.0]),
        lambda description: description["scales"][0].update(more=1),
        lambda description: description["scales"][0].pop("stages"),
        lambda description: description["scales"][0].update(stages={}),
        stages(lambda stages: stages.pop()),
        stages(lambda stages: stages.append(stages[0])),
        stages(lambda stages: stages[1].clear()),
        stages(lambda stages: stages[1][0].clear()),
        stages(lambda stages: stages[1][0].pop()),
        stages(lambda stages: stages[1].append(stages[1][0])),
        stages(lambda stages: stages.__setitem__(2, None)),
    ],
)
def test_no_other_description_is_a_corrector(path: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    rewrite(path, damage, lambda tensors: None)
    with pytest.raises((BadModel, InexactNetwork)) as caught:
        load(path)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors.pop("scales.0.stages.1.networks.0.0.weight"),
        lambda tensors: tensors.update(
            {"scales.0.stages.1.networks.0.0.weight": tensors["scales.0.stages.2.networks.0.0.weight"]}
        ),
        lambda tensors: tensors.update(
            {"scales.0.stages.3.networks.0.2.bias": tensors["scales.0.stages.3.networks.0.2.bias"] + 1}
        ),
        lambda tensors: tensors.update({"scales.0.stages.3.networks.0.2.weight": np.full((4, 3), 9000, np.int16)}),
        lambda tensors: tensors.update({"scales.0.stages.3.networks.0.2.weight": np.ones((4, 2), np.int8)}),
        lambda tensors: tensors.update(
            {
                "scales.0.stages.2.networks.0.0.weight": tensors["scales.0.stages.2.networks.0.0.weight"].astype(
                    np.float32
                )
            }
        ),
    ],
)
def test_no_other_weights_are_a_correctors(path: Path, damage: Callable[[Any], object]) -> None:
    rewrite(path, lambda description: None, damage)
    with pytest.raises((BadModel, InexactNetwork)):
        load(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors: tensors.pop("predictors"),
        lambda tensors: tensors.update(predictors=tensors["predictors"][:-1]),
        lambda tensors: tensors.update(predictors=tensors["predictors"][None]),
        lambda tensors: tensors.update(predictors=tensors["predictors"].astype(np.float32)),
        lambda tensors: tensors.update(predictors=tensors["predictors"] + np.int16(256)),
        lambda tensors: tensors.update(predictors=-tensors["predictors"]),
        lambda tensors: tensors.update(predictors=np.append(tensors["predictors"], np.int16(0))),
        lambda tensors: tensors["predictors"].__ixor__(1),
        lambda tensors: tensors.update(predictors=np.zeros(40, np.int16)),
    ],
)
def test_no_other_predictors_are_a_models(path: Path, damage: Callable[[Any], object]) -> None:
    save(path, make_corrector(3))
    assert load(path).corrector.predictors
    rewrite(path, lambda description: None, damage)
    with pytest.raises(BadModel):
        load(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_corrector_of_other_channels_is_refused(path: Path, mode: str) -> None:
    found = Registry(files=[path])
    payload = Lattice(load(path).identity, PlanesForm(mode, 8), [(4, 4)], bytes(80))
    with pytest.raises(DamagedArchive, match="cannot correct"):
        payload.checked_model(found, MAX_PIXELS)
    for fitting in "L", "LA", "L16":
        form = PlanesForm(fitting, 16 if fitting == "L16" else 8)
        assert Lattice(payload.model_id, form, payload.sizes, payload.data).checked_model(found, MAX_PIXELS)


@pytest.mark.parametrize("type", [np.uint8, np.uint16, np.int32, np.int64])
def test_relative_errors_hang_on_no_type(type: Any) -> None:
    """Products that float32 rounds to a half, though they are none."""
    values = np.arange(256).astype(type)
    for number in range(32, 64):
        classes = np.full(256, number)
        means = np.arange(256) * 37 % (255 << 6)
        by_value = float(np.float32(8 / (2.0**-5 * (8 + number % 8) / 8 * 2.0 ** (number // 8))))
        for value, mean, found in zip(values, means, relative_error(values, means, classes), strict=True):
            exact = Fraction(int(value) * 64 - int(mean), 64) * Fraction(by_value)
            assert found == min(max(round(exact) + 128, 0), 255)
