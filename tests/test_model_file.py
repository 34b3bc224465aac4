"""Model files come back whole, have an identity that only their content decides, and are refused when wrong."""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import little_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from bbcompress.codec import model_file
from bbcompress.codec.dense import DenseInfo, DenseModel
from bbcompress.codec.dense_file import DenseContents
from bbcompress.codec.layer_specs import DenseSpec
from bbcompress.codec.model_file import BadModel, load, read_header
from bbcompress.codec.registry import ModelNotFound, Registry
from bbcompress.exact.network import InexactNetwork, Range

Parts = tuple[DenseInfo, list[DenseSpec], list[DenseSpec]]
MakeParts = Callable[..., Parts]
Tensors = dict[str, NDArray[Any]]


def save(path: Path, *parts: Any) -> None:
    model_file.save(path, DenseContents(*parts))


def identity(*parts: Any) -> bytes:
    return model_file.identity(DenseContents(*parts))


@pytest.fixture
def parts(tiny_parts: MakeParts) -> Parts:
    return tiny_parts(256, 2)


@pytest.fixture
def path(tmp_path: Path, parts: Parts) -> Path:
    """The file of a tiny model."""
    path = tmp_path / "model.safetensors"
    save(path, *parts)
    return path


def outputs(model: DenseModel) -> list[NDArray[Any]]:
    """What a model computes of some images."""
    pixels = (np.arange(4 * model.info.subpixels) * 37 % model.info.levels).astype(np.uint8)
    posterior = model.posterior(pixels.reshape(4, -1))
    (stage,) = model.likelihood(posterior.mean)
    intervals = stage.distribution(pixels).intervals(stage.symbols(pixels.reshape(4, -1)))
    return [*posterior, *intervals, model.grad_z(pixels.reshape(4, -1), posterior.mean)]


def assert_same(one: DenseModel, other: DenseModel) -> None:
    assert one.identity == other.identity
    assert one.info == other.info
    for a, b in zip(outputs(one), outputs(other), strict=True):
        np.testing.assert_array_equal(a, b)


def metadata_of(path: Path) -> dict[str, str]:
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    metadata: dict[str, str] = json.loads(raw[8 : 8 + size])["__metadata__"]
    return metadata


def rewrite(
    path: Path,
    tensors: Callable[[Tensors], None] = lambda tensors: None,
    description: Callable[[dict[str, Any]], None] = lambda description: None,
    metadata: Callable[[dict[str, str]], None] = lambda metadata: None,
) -> None:
    """Change a model file's parts by hand, as an attacker would; its identity stays what it says."""
    found, values = load_file(path), metadata_of(path)
    content = json.loads(values["bbcompress"])
    tensors(found)
    description(content)
    values["bbcompress"] = json.dumps(content, sort_keys=True, separators=(",", ":"))
    metadata(values)
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in found.items()}, path, values)


def refused(path: Path, match: str | None = None, error: type[Exception] = BadModel) -> None:
    """The file is refused, by one line that names it."""
    with pytest.raises(error, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


# --- saving and loading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "components"), [(2, 1), (256, 1), (256, 3)])
def test_round_trip(tmp_path: Path, tiny_parts: MakeParts, levels: int, components: int) -> None:
    info, encoder, decoder = tiny_parts(levels, components)
    save(tmp_path / "a", info, encoder, decoder)
    model = load(tmp_path / "a")
    assert model.info == info
    assert model.identity == identity(info, encoder, decoder)
    tensors = load_file(tmp_path / "a")
    for network, specs in (("encoder", encoder), ("decoder", decoder)):
        for number, spec in enumerate(specs):
            np.testing.assert_array_equal(tensors[f"{network}.{number}.weight"], spec.weight)
            np.testing.assert_array_equal(tensors[f"{network}.{number}.bias"], spec.bias)
    # what it computes is what the specifications say, as plain integers
    pixels = np.arange(info.subpixels) * 7 % levels
    x = pixels
    for spec in encoder:
        shift = spec.weight_bits + spec.input.fraction_bits - spec.output.fraction_bits
        x = np.clip((x @ spec.weight + spec.bias + (1 << (shift - 1))) >> shift, -spec.output.limit, spec.output.limit)
        x = np.maximum(x, 0) if spec.relu else x
    mean = model.posterior(pixels[None].astype(np.uint8)).mean[0]
    np.testing.assert_array_equal(mean, x[: info.latent] / 2.0 ** encoder[-1].output.fraction_bits)


def test_header_is_read_alone(path: Path, parts: Parts) -> None:
    header = read_header(path)
    assert header.info == parts[0]
    assert header.identity == identity(*parts)


def test_arrays_in_fortran_order(parts: Parts, path: Path, tmp_path: Path) -> None:
    info, encoder, decoder = parts
    fortran, strided = [
        [replace(spec, weight=change(spec.weight)) for spec in decoder]
        for change in (np.asfortranarray, lambda weight: np.repeat(weight, 2, axis=0)[::2])
    ]
    for number, changed in enumerate((fortran, strided)):
        assert not all(spec.weight.flags.c_contiguous for spec in changed)
        save(tmp_path / str(number), info, encoder, changed)
        assert_same(load(tmp_path / str(number)), load(path))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
def test_identity_is_independent_of_the_weights_type(parts: Parts, path: Path, tmp_path: Path, dtype: type) -> None:
    info, encoder, decoder = parts

    def cast(specs: list[DenseSpec]) -> list[DenseSpec]:
        return [replace(spec, weight=spec.weight.astype(dtype)) for spec in specs]

    assert identity(info, cast(encoder), cast(decoder)) == identity(*parts)
    save(tmp_path / "b", info, cast(encoder), cast(decoder))
    assert_same(load(tmp_path / "b"), load(path))


def test_identity_is_independent_of_the_files_layout(path: Path) -> None:
    expected = load(path)

    def widen_and_reverse(tensors: Tensors) -> None:
        for name in sorted(tensors, reverse=True):
            tensors[name] = tensors.pop(name).astype(np.int32)

    rewrite(path, widen_and_reverse, metadata=lambda metadata: metadata.update(note="something else"))
    assert_same(load(path), expected)


@pytest.mark.parametrize(
    "value", [0, 127, -128, 128, -129, 32767, -32768, 32768, -32769, (1 << 31) - 1, -(1 << 31) + 1]
)
def test_weights_of_every_size(parts: Parts, tmp_path: Path, value: int) -> None:
    info, encoder, decoder = parts
    for dtype in (np.int8, np.int16, np.int32, np.int64):
        if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            continue
        bias = np.zeros_like(encoder[0].bias, dtype=dtype)
        bias[3] = value
        save(tmp_path / "m", info, [replace(encoder[0], bias=bias), encoder[1]], decoder)
        load(tmp_path / "m")
        assert load_file(tmp_path / "m")["encoder.0.bias"][3] == value


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, 1 << 40])
def test_weights_beyond_32_bits_are_not_saved(parts: Parts, tmp_path: Path, value: int) -> None:
    info, encoder, decoder = parts
    bias = encoder[0].bias.copy()
    bias[3] = value
    with pytest.raises(BadModel, match="32 bits"):
        save(tmp_path / "m", info, [replace(encoder[0], bias=bias), encoder[1]], decoder)
    assert not (tmp_path / "m").exists()


def test_identity_is_of_the_canonical_form(tiny_parts: MakeParts) -> None:
    """Identities stand in files, so this form must never change: JSON, then int32 tensors in the order of names."""
    info = replace(
        tiny_parts()[0], height=1, width=2, latent=1, grid_log2_steps=(-1,), learning_rate=0.5, name="pinned é"
    )
    encoder = [DenseSpec(np.array([[1, -2], [3, 70000]]), np.array([5, -6]), 4, Range(0, 1), Range(3, 100), False)]
    decoder = [DenseSpec(np.array([[1, -2]]), np.array([7, 8]), 6, Range(2, 9), Range(5, 11), True)]
    text = (
        '{"decoder":[{"input":[2,9],"op":"dense","output":[5,11],"relu":true,"weight_bits":6}],'
        '"encoder":[{"input":[0,1],"op":"dense","output":[3,100],"relu":false,"weight_bits":4}],'
        '"format":"bbcompress-model-1","info":{"channels":1,"components":1,"grid_log2_steps":[-1],"height":1,'
        '"latent":1,"latent_bits":8,"learning_rate":0.5,"levels":2,"name":"pinned \\u00e9","width":2}}'
    )
    integers = [7, 8, 1, -2, 5, -6, 1, -2, 3, 70000]
    expected = hashlib.sha256(text.encode() + struct.pack("<10i", *integers)).digest()
    assert identity(info, encoder, decoder) == expected


INFO_CHANGES: dict[str, Any] = {
    "name": "other",
    "height": 6,
    "width": 7,
    "channels": 2,
    "levels": 2,
    "components": 3,
    "latent": 4,
    "latent_bits": 9,
    "grid_log2_steps": (0, -1, 2),
    "learning_rate": 0.021,
}


def test_every_field_of_the_description_is_tried(parts: Parts) -> None:
    assert INFO_CHANGES.keys() == asdict(parts[0]).keys()


@pytest.mark.parametrize("field", INFO_CHANGES)
def test_identity_changes_with_each_field(parts: Parts, field: str) -> None:
    info, encoder, decoder = parts
    assert getattr(info, field) != INFO_CHANGES[field]
    assert identity(replace(info, **{field: INFO_CHANGES[field]}), encoder, decoder) != identity(*parts)


LAYER_CHANGES: dict[str, Callable[[DenseSpec], DenseSpec]] = {
    "first weight": lambda spec: replace(spec, weight=changed(spec.weight, 0)),
    "last weight": lambda spec: replace(spec, weight=changed(spec.weight, -1)),
    "first bias": lambda spec: replace(spec, bias=changed(spec.bias, 0)),
    "last bias": lambda spec: replace(spec, bias=changed(spec.bias, -1)),
    "weight bits": lambda spec: replace(spec, weight_bits=spec.weight_bits + 1),
    "input bits": lambda spec: replace(spec, input=replace(spec.input, fraction_bits=3)),
    "input limit": lambda spec: replace(spec, input=replace(spec.input, limit=spec.input.limit + 1)),
    "output bits": lambda spec: replace(spec, output=replace(spec.output, fraction_bits=3)),
    "output limit": lambda spec: replace(spec, output=replace(spec.output, limit=spec.output.limit - 1)),
    "relu": lambda spec: replace(spec, relu=not spec.relu),
}


def changed(tensor: NDArray[Any], place: int) -> NDArray[Any]:
    """The tensor with one more in one place."""
    copy = tensor.copy()
    copy.flat[place if place >= 0 else copy.size - 1] += 1
    return copy


@pytest.mark.parametrize("change", LAYER_CHANGES)
@pytest.mark.parametrize("network", ["encoder", "decoder"])
@pytest.mark.parametrize("number", [0, 1])
def test_identity_changes_with_each_part_of_each_layer(parts: Parts, network: str, number: int, change: str) -> None:
    info, *networks = parts
    specs = list(networks[network == "decoder"])
    specs[number] = LAYER_CHANGES[change](specs[number])
    networks[network == "decoder"] = specs
    assert identity(info, *networks) != identity(*parts)


def test_identity_tells_the_networks_apart(parts: Parts) -> None:
    info, encoder, decoder = parts
    assert identity(info, decoder, encoder) != identity(*parts)
    assert identity(info, [*encoder, decoder[0]], decoder[1:]) != identity(*parts)


# --- hostile files ----------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def test_empty_file(path: Path) -> None:
    path.write_bytes(b"")
    refused(path)


def test_text_file(path: Path) -> None:
    path.write_bytes(b"this is not a model at all, but a file of text\n" * 10)
    refused(path)


def test_random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(path)


def test_huge_file(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(model_file.MAX_FILE_BYTES + 1)  # sparse
    refused(path, "larger than any model")


@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.3, 0.9, 0.9999])
def test_truncated(path: Path, fraction: float) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * fraction)])
    refused(path)


def test_something_appended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path)


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage(tmp_path_factory: pytest.TempPathFactory, tiny_parts: MakeParts, data: st.DataObject) -> None:
    """Every byte of the header and the weights counts: whatever loads is the model that was saved."""
    path = tmp_path_factory.mktemp("damage") / "model"
    save(path, *tiny_parts(256, 1))
    raw = bytearray(path.read_bytes())
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    place = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(raw) - 1)))
    byte = data.draw(st.integers(0, 255))
    raw[place] = byte
    path.write_bytes(raw)
    try:
        model = load(path)
    except (BadModel, InexactNetwork) as error:
        assert str(path) in str(error)
    else:
        assert model.identity == identity(*tiny_parts(256, 1))


def test_every_single_weight_is_checked(path: Path) -> None:
    raw = path.read_bytes()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    for place in range(start, len(raw), 101):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        refused(path)


def test_no_metadata(path: Path) -> None:
    save_file(load_file(path), path)
    refused(path, "not a model that this version")


def test_another_format(path: Path) -> None:
    rewrite(path, description=lambda description: description.update(format="bbcompress-model-9"))
    refused(path, "not a model that this version")


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"text"', "{", "{}", "[" * 100_000, '{"format": ' * 50_000])
def test_description_that_is_none(path: Path, text: str) -> None:
    rewrite(path, metadata=lambda metadata: metadata.update(bbcompress=text))
    refused(path)


@pytest.mark.parametrize("value", ["", "00", "zz" * 32, "00" * 32, "00" * 31, "é"])
def test_wrong_identity(path: Path, value: str) -> None:
    rewrite(path, metadata=lambda metadata: metadata.update(identity=value))
    refused(path)


def test_no_identity(path: Path) -> None:
    rewrite(path, metadata=lambda metadata: metadata.pop("identity") and None)
    refused(path)


@pytest.mark.parametrize("name", ["encoder.0.weight", "encoder.1.bias", "decoder.0.bias", "decoder.1.weight"])
def test_missing_tensor(path: Path, name: str) -> None:
    rewrite(path, lambda tensors: tensors.__delitem__(name))
    refused(path, name)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, np.uint16, np.int64, np.bool_])
@pytest.mark.parametrize("name", ["encoder.0.weight", "decoder.1.bias"])
def test_weights_that_are_not_small_integers(path: Path, name: str, dtype: type) -> None:
    rewrite(path, lambda tensors: tensors.update({name: tensors[name].astype(dtype)}))
    refused(path, "integers of at most 32 bits")


def test_weights_that_are_not_numbers_numpy_has(path: Path) -> None:
    """bfloat16: numpy cannot read it."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = raw[8 : 8 + size]
    assert b'"I16"' in header
    path.write_bytes(raw[:8] + header.replace(b'"I16"', b'"BF16"')[:size].ljust(size) + raw[8 + size :])
    refused(path)
    bf16 = header.replace(b'"I16"', b'"BF16"')
    bf16 += b" " * (-len(bf16) % 8)
    path.write_bytes(struct.pack("<Q", len(bf16)) + bf16 + raw[8 + size :])
    refused(path)


SHAPES: dict[str, Callable[[Tensors], None]] = {
    "transposed": lambda t: t.update({"encoder.0.weight": t["encoder.0.weight"].T}),
    "flat": lambda t: t.update({"encoder.0.weight": t["encoder.0.weight"].ravel()}),
    "three dimensions": lambda t: t.update({"encoder.0.weight": t["encoder.0.weight"][None]}),
    "no inputs": lambda t: t.update({"encoder.0.weight": t["encoder.0.weight"][:0]}),
    "no outputs": lambda t: t.update(
        {"encoder.0.weight": t["encoder.0.weight"][:, :0], "encoder.0.bias": t["encoder.0.bias"][:0]}
    ),
    "short bias": lambda t: t.update({"encoder.0.bias": t["encoder.0.bias"][:-1]}),
    "one bias": lambda t: t.update({"encoder.0.bias": t["encoder.0.bias"][:1]}),
    "bias of two dimensions": lambda t: t.update({"encoder.0.bias": t["encoder.0.bias"][None]}),
    "scalar bias": lambda t: t.update({"encoder.0.bias": np.array(3, np.int16)}),
    "too few pixels": lambda t: t.update({"encoder.0.weight": t["encoder.0.weight"][:-1]}),
    "too many posterior parameters": lambda t: t.update(
        {
            "encoder.1.weight": np.repeat(t["encoder.1.weight"], 2, axis=1),
            "encoder.1.bias": np.repeat(t["encoder.1.bias"], 2),
        }
    ),
    "too few outputs": lambda t: t.update(
        {"decoder.1.weight": t["decoder.1.weight"][:, 1:], "decoder.1.bias": t["decoder.1.bias"][1:]}
    ),
    "latents that do not fit": lambda t: t.update({"decoder.0.weight": t["decoder.0.weight"][1:]}),
    "layers that do not fit": lambda t: t.update({"decoder.1.weight": t["decoder.1.weight"][1:]}),
}


@pytest.mark.parametrize("case", SHAPES)
def test_wrong_shape(path: Path, case: str) -> None:
    rewrite(path, SHAPES[case])
    refused(path, "fit")


INFO: dict[str, dict[str, Any]] = {
    "no height": {"height": 0},
    "negative width": {"width": -5},
    "vast height": {"height": 1 << 40},
    "vast image": {"height": 1 << 16, "width": 1 << 16},
    "height is true": {"height": True},
    "height is text": {"height": "5"},
    "height is a fraction": {"height": 5.0},
    "height is null": {"height": None},
    "no channels": {"channels": 0},
    "many channels": {"channels": 5},
    "levels between": {"levels": 16},
    "no levels": {"levels": 0},
    "no components": {"components": 0},
    "many components": {"components": 10_000},
    "no latents": {"latent": 0, "grid_log2_steps": []},
    "vast latent": {"latent": 1 << 30},
    "no latent bits": {"latent_bits": 0},
    "many latent bits": {"latent_bits": 17},
    "grid of another size": {"grid_log2_steps": [0, 0]},
    "grid too coarse": {"grid_log2_steps": [0, 0, 5]},
    "grid too fine": {"grid_log2_steps": [0, 0, -9]},
    "grid of infinities": {"grid_log2_steps": [0, 0, float("inf")]},
    "grid of text": {"grid_log2_steps": "000"},
    "grid is a number": {"grid_log2_steps": 0},
    "rate of zero": {"learning_rate": 0.0},
    "rate of one": {"learning_rate": 1.0},
    "rate is not a number": {"learning_rate": float("nan")},
    "rate is an integer": {"learning_rate": 1},
    "rate is infinite": {"learning_rate": float("inf")},
    "name is a number": {"name": 3},
    "no name": {"name": ""},
    "name that a terminal acts on": {"name": "a\x1b[2J"},
    "name of two lines": {"name": "a\nb"},
    "name that turns its line round": {"name": "a\u202eb"},
    "long name": {"name": "a" * 101},
    "unknown field": {"colour": "red"},
}


@pytest.mark.parametrize("case", INFO)
def test_absurd_description(path: Path, case: str) -> None:
    rewrite(path, description=lambda description: description["info"].update(INFO[case]))
    refused(path)


def test_missing_field(path: Path) -> None:
    rewrite(path, description=lambda description: description["info"].pop("latent_bits") and None)
    refused(path, "missing fields")


LAYERS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "unknown operation": lambda layers: layers[0].update(op="convolution"),
    "unknown field": lambda layers: layers[0].update(stride=2),
    "missing field": lambda layers: layers[0].pop("relu"),
    "negative weight bits": lambda layers: layers[0].update(weight_bits=-1),
    "many weight bits": lambda layers: layers[0].update(weight_bits=31),
    "weight bits are a fraction": lambda layers: layers[0].update(weight_bits=8.0),
    "weight bits are true": lambda layers: layers[0].update(weight_bits=True),
    "negative fraction bits": lambda layers: layers[0].update(input=[-1, 255]),
    "many fraction bits": lambda layers: layers[0].update(input=[31, 255]),
    "limit of zero": lambda layers: layers[0].update(output=[8, 0]),
    "negative limit": lambda layers: layers[0].update(output=[8, -3]),
    "vast limit": lambda layers: layers[0].update(output=[8, 1 << 30]),
    "limit is a fraction": lambda layers: layers[0].update(output=[8, 255.5]),
    "limit is text": lambda layers: layers[0].update(output=[8, "9"]),
    "limit is missing": lambda layers: layers[0].update(output=[8]),
    "range is text": lambda layers: layers[0].update(output="89"),
    "range is a number": lambda layers: layers[0].update(output=8),
    "layer is text": lambda layers: layers.__setitem__(0, "dense"),
    "layer is null": lambda layers: layers.__setitem__(0, None),
    "no layers": lambda layers: layers.clear(),
    "too many layers": lambda layers: layers.extend(layers * 40),
    "one layer more": lambda layers: layers.append(dict(layers[1])),
    "one layer less": lambda layers: layers.pop(),
    "pixels out of range": lambda layers: layers[0].update(input=[8, 254]),
}


@pytest.mark.parametrize("case", LAYERS)
def test_absurd_layer(path: Path, case: str) -> None:
    rewrite(path, description=lambda description: LAYERS[case](description["encoder"]))
    refused(path)


@pytest.mark.parametrize("value", [None, 3, "text", {}, {"0": {}}])
@pytest.mark.parametrize("network", ["encoder", "decoder"])
def test_layers_that_are_none(path: Path, network: str, value: Any) -> None:
    rewrite(path, description=lambda description: description.update({network: value}))
    refused(path)


@pytest.mark.parametrize("network", ["encoder", "decoder"])
def test_missing_network(path: Path, network: str) -> None:
    rewrite(path, description=lambda description: description.pop(network) and None)
    refused(path)


def test_layers_that_disagree(path: Path) -> None:
    rewrite(path, description=lambda description: description["decoder"][0].update(output=[12, 9]))
    refused(path, "range", InexactNetwork)


def test_outputs_finer_than_sums(path: Path) -> None:
    rewrite(path, description=lambda description: description["decoder"][1].update(output=[30, 9]))
    refused(path, "fractional bits", InexactNetwork)


@pytest.mark.parametrize("name", ["encoder.0.weight", "decoder.1.weight"])
def test_weights_that_break_the_bound(path: Path, name: str) -> None:
    rewrite(path, lambda tensors: tensors.update({name: np.full(tensors[name].shape, 1 << 24, np.int32)}))
    refused(path, "2\\^53", InexactNetwork)


def test_range_that_breaks_the_bound(parts: Parts, path: Path) -> None:
    def widest(description: dict[str, Any]) -> None:
        description["encoder"][0]["input"][1] = (1 << 30) - 1

    weights = parts[1][0].weight * 300
    rewrite(path, lambda tensors: tensors.update({"encoder.0.weight": weights.astype(np.int32)}), widest)
    refused(path, "2\\^53", InexactNetwork)


def test_bound_is_proved_on_saving_too(parts: Parts, tmp_path: Path) -> None:
    info, encoder, decoder = parts
    with pytest.raises(InexactNetwork):
        save(tmp_path / "m", info, [replace(encoder[0], weight=encoder[0].weight << 14), encoder[1]], decoder)
    assert not (tmp_path / "m").exists()


def forged(path: Path, parts: Parts) -> None:
    """A file whose identity is right, for parts that `save` would refuse."""
    rewrite(
        path,
        lambda tensors: tensors.update(
            {name: tensor.astype(np.int32) for name, tensor in DenseContents(*parts).tensors().items()}
        ),
        metadata=lambda metadata: metadata.update(
            bbcompress=model_file._description(DenseContents(*parts)), identity=identity(*parts).hex()
        ),
    )


def test_pixels_beyond_the_proven_range(parts: Parts, path: Path) -> None:
    """The proof holds for inputs in the declared range only, so pixels must be in it."""
    info, encoder, decoder = parts
    forged(path, (info, [replace(encoder[0], input=Range(8, 254)), encoder[1]], decoder))
    refused(path, "does not hold the pixels")


def test_logits_too_fine_for_a_table(tiny_parts: MakeParts, path: Path) -> None:
    """The table of Bernoulli probabilities has an entry for each logit: 30 bits would take 256 GiB."""
    info, encoder, decoder = tiny_parts(2, 1)
    for bits, weight_bits in ((17, 13), (30, 24)):
        last = replace(decoder[1], output=Range(bits, (1 << 30) - 1), weight_bits=weight_bits)
        forged(path, (info, encoder, [decoder[0], last]))
        refused(path, "fractional bits than logits")


# --- the registry -----------------------------------------------------------------------------------------------


def test_models_by_name_and_identity(
    path: Path, parts: Parts, tmp_path: Path, tiny_parts: MakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    save(folder / "binary.safetensors", *tiny_parts(2, 1))
    monkeypatch.setenv("BBC_MODEL_PATH", str(folder))
    registry = Registry(files=[path])
    assert registry.path_named(parts[0].name) == path
    assert registry.path_named("tiny-2-1") == folder / "binary.safetensors"
    assert registry.by_identity(identity(*parts)).identity == identity(*parts)
    assert registry.by_identity(identity(*parts)) is registry.load(path)
    with pytest.raises(ModelNotFound, match="tiny-2-1"):
        registry.path_named("none such")
    with pytest.raises(ModelNotFound):
        registry.by_identity(bytes(32))


@pytest.mark.parametrize("damage", [lambda raw: b"no model", lambda raw: raw[:-1], lambda raw: raw[:-1] + b"\x7f"])
def test_a_foreign_file_among_the_models_stops_nothing(
    damage: Callable[[bytes], bytes],
    path: Path,
    parts: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether its header is wrong, or only its weights."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(damage(path.read_bytes()))
    (folder / "gone.safetensors").symlink_to(tmp_path / "none")
    (folder / "z.safetensors").write_bytes(path.read_bytes())
    monkeypatch.setenv("BBC_MODEL_PATH", str(folder))
    registry = Registry()
    assert registry.by_identity(identity(*parts)) is registry.load(folder / "z.safetensors")
    assert [file.name for file, _ in registry.headers() if file.parent == folder] == ["z.safetensors"]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 2
    assert all(str(folder / name) in text for name, text in zip(("a.", "gone."), warnings, strict=True))
    with pytest.raises(BadModel):
        Registry(files=[folder / "a.safetensors"]).by_identity(identity(*parts))


def test_a_huge_header_is_refused_before_it_is_read(path: Path) -> None:
    text = json.dumps({"__metadata__": {"bbcompress": "{" * (model_file.MAX_HEADER_BYTES + 1)}}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with little_memory(1):
        refused(path, "header")


def test_reasons_are_one_short_line(path: Path) -> None:
    text = json.dumps({"a\n\x1b" * 9999: 1}, ensure_ascii=False).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(BadModel) as caught:
        load(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("name", ["mnist-binary", "mnist-grey"])
def test_shipped_models_are_whole(model_path: Callable[[str], Path], name: str) -> None:
    model = load(model_path(name))
    assert model.info.name == name
    assert model.info.shape == (28, 28, 1)
    assert model.bound < 2**53
