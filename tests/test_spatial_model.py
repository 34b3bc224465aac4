"""Convolutional models: any size, stages, the chain over several sizes, tiles, files; with tiny models of integers."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_models import make_spatial
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from bbcompress.archive.compress import Options, compress_archive, compress_single
from bbcompress.archive.encode import encode
from bbcompress.archive.errors import DamagedArchive
from bbcompress.archive.forms import PixelForm
from bbcompress.archive.payload import Tiles, decode_checked
from bbcompress.archive.read import ArchiveReader
from bbcompress.archive.single import pack_single, unpack_single
from bbcompress.codec import chain, scale_shifts, tiles, two_part
from bbcompress.codec.model import ScaleShifts, pop_pixels
from bbcompress.codec.model_file import BadModel, identity, load, read, save
from bbcompress.codec.refine import Method, refine
from bbcompress.codec.registry import Registry
from bbcompress.codec.spatial import ScaleSpec, SizedSpatialModel, SpatialModel, StageSpec, contexts, known_offsets
from bbcompress.codec.spatial_file import SpatialContents
from bbcompress.coding.rans import Stack
from bbcompress.exact.engine import Engine
from bbcompress.images import stored
from bbcompress.images.picture import Picture

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
SIZES = [(8, 8), (5, 12), (1, 1), (4, 3), (9, 2)]


def sample(model: SizedSpatialModel, count: int, seed: int = 0, latents: Floats | None = None) -> Pixels:
    """Images that the model thinks likely, so that they are cheap and their posteriors sensible."""
    rng = np.random.default_rng(seed)
    words = rng.integers(1 << 31, 1 << 32, 64 + 400 * count * model.subpixels // 32, np.uint64).astype(np.uint32)
    pixels = np.zeros((count, model.subpixels), np.uint8)
    if latents is None:
        latents = rng.normal(0, 1, (count, model.latent))
    pop_pixels(model, Stack.unflatten(words, 32), pixels, latents)
    return pixels


def groups_of(model: SpatialModel, sizes: list[tuple[int, int]], each: int) -> list[chain.Group]:
    sized = [model.sized(*size) for size in sizes]
    return [chain.Group(one, sample(one, each, number)) for number, one in enumerate(sized)]


def decoded(groups: list[chain.Group], encoded: chain.EncodedChain) -> list[Pixels]:
    return chain.decode([(group.model, len(group.pixels)) for group in groups], encoded.plan, encoded.data).pixels


# --- the chain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("steps", [0, 2])
def test_chains_of_several_sizes_come_back(spatial: SpatialModel, steps: int, method: Method) -> None:
    groups = groups_of(spatial, SIZES, 5)
    encoded = chain.encode(groups, chain.Layout(width=4, lanes=8, density=2), steps, method)
    for group, pixels in zip(groups, decoded(groups, encoded), strict=True):
        np.testing.assert_array_equal(pixels, group.pixels)
    assert encoded.net_bits.sum() <= 8 * len(encoded.data)
    assert encoded.plan.first < encoded.plan.images


@pytest.mark.parametrize("count", [1, 3])
def test_lanes_grow_with_the_stages_of_the_first_image(spatial: SpatialModel, count: int) -> None:
    model = spatial.sized(40, 40)
    group = [
        chain.Group(
            model, np.random.default_rng(0).integers(0, spatial.info.levels, (count, model.subpixels), np.uint8)
        )
    ]
    encoded = chain.encode(group, chain.Layout(width=1, lanes=12, density=24), 1)
    lanes = encoded.plan.first_lanes(0, model.stages)
    assert encoded.plan.first == 1 and (lanes[0], lanes[-1]) == (1, 12 if model.stages > 1 else 1)
    np.testing.assert_array_equal(decoded(group, encoded)[0], group[0].pixels)


def test_the_steepest_moves_go_down(spatial: SpatialModel) -> None:
    """Of latents too many for trying all neighbours; from a point that is two steps off in each of them."""
    model = spatial.sized(16, 16)
    pixels = sample(model, 1)
    off = two_part.search(model, pixels) + 2
    moves = two_part._moves(model, pixels, off)
    assert 2 * model.latent > len(moves) == two_part.SEARCH_MOVES
    assert (np.abs(moves).sum(1) == 1).all() and len(np.unique(moves, axis=0)) == len(moves)
    assert (two_part._costs(model, pixels, off + moves) < two_part._costs(model, pixels, off[None])).all()


@settings(max_examples=20)
@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 9), noise=st.booleans())
def test_images_of_any_size(spatial: SpatialModel, height: int, width: int, seed: int, noise: bool) -> None:
    model = spatial.sized(height, width)
    pixels = sample(model, 3, seed)
    if noise:
        pixels = np.random.default_rng(seed).integers(0, spatial.info.levels, pixels.shape).astype(np.uint8)
    group = [chain.Group(model, pixels)]
    encoded = chain.encode(group, chain.Layout(2, 4), 1)
    np.testing.assert_array_equal(decoded(group, encoded)[0], pixels)


@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (1, 3), (3, 2)])
def test_same_bytes_for_every_batch_and_number_of_threads(
    spatial: SpatialModel, spatial_path: Path, threads: int, batch: int
) -> None:
    other = load(spatial_path, Engine(threads), batch)
    assert isinstance(other, SpatialModel)
    large = [(40, 40), (33, 7)]  # of several network calls in the smaller batches
    expected = chain.encode(groups_of(spatial, large, 3), chain.Layout(4, 8), 1)
    found = chain.encode(groups_of(other, large, 3), chain.Layout(4, 8), 1)
    assert found.data == expected.data
    np.testing.assert_array_equal(found.net_bits, expected.net_bits)
    groups = groups_of(other, large, 3)
    for pixels, group in zip(decoded(groups, expected), groups, strict=True):
        np.testing.assert_array_equal(pixels, group.pixels)


# --- likelihood and gradient ------------------------------------------------------------------------------------


def log_likelihood_nats(model: SizedSpatialModel, pixels: Pixels, latents: Floats) -> Floats:
    total = np.zeros(len(pixels))
    for stage in model.likelihood(latents):
        distribution = stage.distribution(pixels)
        freqs = distribution.intervals(stage.symbols(pixels))[1].astype(np.float64)
        total += (np.log(freqs) - distribution.precision * math.log(2)).reshape(len(pixels), -1).sum(1)
    return total


def slopes(model: SizedSpatialModel, pixels: Pixels, latents: Floats) -> Floats:
    """What `grad_z` should be, by differences."""
    found = np.empty_like(latents)
    step = 2.0**-5
    for place in range(model.latent):
        move = np.zeros(model.latent)
        move[place] = step
        above, below = (log_likelihood_nats(model, pixels, latents + sign * move) for sign in (1, -1))
        found[:, place] = (above - below) / (2 * step)
    return found


def test_stages_code_every_subpixel_once(spatial: SpatialModel) -> None:
    for size in SIZES:
        model = spatial.sized(*size)
        pixels = sample(model, 2)
        rebuilt, times = np.zeros_like(pixels), np.zeros_like(pixels)
        for stage in model.likelihood(np.zeros((2, model.latent))):
            symbols = stage.symbols(pixels)
            assert symbols.shape == (stage.distribution(pixels).size,)
            stage.place(symbols, rebuilt)
            placed = np.zeros_like(pixels)
            stage.place(np.full_like(symbols, 3 if spatial.info.levels == 2 else 1), placed)
            times += placed
        np.testing.assert_array_equal(rebuilt, pixels)
        assert (times == 1).all()


def test_a_stage_sees_only_what_was_decoded_before_it(spatial: SpatialModel) -> None:
    model = spatial.sized(7, 6)
    pixels = sample(model, 2)
    latents = np.random.default_rng(0).normal(0, 1, (2, model.latent))
    expected = [stage.distribution(pixels).intervals(stage.symbols(pixels)) for stage in model.likelihood(latents)]
    growing = np.full_like(pixels, 77)  # what is not decoded yet must not matter
    for stage, intervals in zip(model.likelihood(latents), expected, strict=True):
        found = stage.distribution(growing).intervals(stage.symbols(pixels))
        np.testing.assert_array_equal(found, intervals)
        stage.place(stage.symbols(pixels), growing)


def test_grad_z_is_the_slope_of_the_log_likelihood(spatial: SpatialModel) -> None:
    if "coarse" in spatial.info.name:
        pytest.skip("gradients are those of numbers before rounding")
    model = spatial.sized(6, 5)
    latents = np.random.default_rng(1).normal(0, 1, (20, model.latent))
    pixels = sample(model, 20, latents=latents)
    gradient = model.grad_z(pixels, latents)
    assert np.corrcoef(gradient.ravel(), slopes(model, pixels, latents).ravel())[0, 1] > 0.95


def test_refinement_is_independent_of_the_batch(spatial: SpatialModel) -> None:
    model = spatial.sized(6, 5)
    pixels = sample(model, 4)
    together = refine(model, pixels, model.posterior(pixels), 0, 3, Method.NATURAL)
    for n in range(4):
        alone = refine(model, pixels[[n]], model.posterior(pixels[[n]]), n, 3, Method.NATURAL)
        np.testing.assert_array_equal(alone.mean[0], together.mean[n])


# --- stages -----------------------------------------------------------------------------------------------------


def test_known_offsets() -> None:
    base = [StageSpec(4, row, column) for row, column in ((0, 0), (2, 2), (0, 2), (2, 0))]
    assert known_offsets([], 4) == []
    assert known_offsets(base[:1], 4) == [(0, 0)]
    assert known_offsets(base[:3], 4) == [(0, 0), (0, 2), (2, 2)]
    assert known_offsets(base[:3], 2) == []  # some of the pixels are missing
    assert known_offsets(base, 2) == [(0, 0)]
    assert known_offsets([*base, StageSpec(2, 1, 1)], 2) == [(0, 0), (1, 1)]


def test_features_see_the_pixels_of_scales_before_on_their_grid() -> None:
    base, sisters, rest = contexts([ScaleSpec(4, [(2, 0)]), ScaleSpec(4, [(0, 0)]), ScaleSpec(2, [(1, 0)])])
    assert base == ([], [[]])
    assert sisters == ([(2, 0)], [[(2, 0)]])
    assert rest == ([(0, 0), (2, 0)], [[]])


# --- tiles ------------------------------------------------------------------------------------------------------


@given(
    pictures=st.lists(
        st.tuples(st.tuples(st.integers(1, 20), st.integers(1, 20)), st.sampled_from([(), (1, 2), (3, -4)])),
        min_size=1,
        max_size=5,
    ),
    tile=st.integers(1, 9),
)
def test_tiles_cover_every_pixel_and_come_back(pictures: list[tuple[tuple[int, int], ScaleShifts]], tile: int) -> None:
    random = np.random.default_rng(0)
    sizes, shifts = ([picture[part] for picture in pictures] for part in (0, 1))
    images = [random.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    groups = tiles.tiling(sizes, tile, shifts)
    assert sum(height * width * len(found) for (height, width), _, found in groups) == sum(h * w for h, w in sizes)
    assert all(max(group.size) <= tile for group in groups)
    assert [group.size for group in groups] == sorted((group.size for group in groups), reverse=True)
    runs = sum(before != after for before, after in pairwise([None, *shifts]))
    for size in {group.size for group in groups}:
        alike = [group for group in groups if group.size == size]
        assert len(alike) <= runs
        assert [tile.image for group in alike for tile in group.tiles] == sorted(
            tile.image for group in alike for tile in group.tiles
        )
    assert all(shifts[one.image] == group.shifts for group in groups for one in group.tiles)
    for image, back in zip(images, tiles.join(list(tiles.cut(images, groups)), groups, sizes, 3), strict=True):
        np.testing.assert_array_equal(back, image)


# --- scale shifts -----------------------------------------------------------------------------------------------


def shifted_pictures(spatial: SpatialModel, shift: int, *sizes: tuple[int, int]) -> list[Pixels]:
    """Images (H, W, C) of a model whose scales are shifted alike in all stages."""
    return [
        sample(spatial.sized(*size, (shift,) * spatial.shifts), 1, number).reshape(*size, -1)
        for number, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("shift", [-13, -5, 0, 5, 13])
def test_shifts_are_found_again(spatial: SpatialModel, shift: int) -> None:
    if not spatial.shifts:
        pytest.skip("two levels have no scales")
    images = shifted_pictures(spatial, shift, (64, 64), (70, 90), (30, 5))
    shifts, saved_bits = scale_shifts.fit(spatial, images)
    assert len(shifts) == spatial.shifts
    assert np.abs(np.array(shifts) - shift).max() <= 6 and abs(np.mean(shifts) - shift) < 2.5
    assert (saved_bits > 300) == (shift != 0)
    pixels = images[1].reshape(1, -1)
    plain, fitted = (spatial.sized(70, 90, own) for own in ((), shifts))
    latents = plain.posterior(pixels).mean
    rates = [log_likelihood_nats(model, pixels, latents).sum() for model in (plain, fitted)]
    assert (rates[1] > rates[0] + 200) == (shift != 0)


def test_what_is_too_little_to_find_shifts_by_has_none(spatial: SpatialModel) -> None:
    assert scale_shifts.fit(spatial, []) == ((), 0.0)
    assert scale_shifts.fit(spatial, shifted_pictures(spatial, 0, (64, 64))) == ((), 0.0)


def test_shifts_of_many_images_must_pay_by_a_few_first(spatial: SpatialModel, monkeypatch: pytest.MonkeyPatch) -> None:
    samples: list[int] = []
    saved_bits = {scale_shifts.TRIAL_SUBPIXELS: 0.0, scale_shifts.SAMPLE_SUBPIXELS: 1e9}

    def fit(
        model: SpatialModel, images: list[Pixels], subpixels: int = scale_shifts.SAMPLE_SUBPIXELS
    ) -> scale_shifts.Fit:
        samples.append(subpixels)
        return scale_shifts.Fit((1,) * model.shifts, saved_bits[subpixels])

    monkeypatch.setattr(scale_shifts, "fit", fit)
    few, many = [np.zeros((64, 64, 1), np.uint8)] * 2, [np.zeros((64, 64, 1), np.uint8)] * 100
    assert scale_shifts.worthwhile(spatial, few) == (1,) * spatial.shifts
    assert scale_shifts.worthwhile(spatial, many) == ()
    saved_bits[scale_shifts.TRIAL_SUBPIXELS] = 1e9
    assert scale_shifts.worthwhile(spatial, many) == (1,) * spatial.shifts
    sample, trial = scale_shifts.SAMPLE_SUBPIXELS, scale_shifts.TRIAL_SUBPIXELS
    assert samples == [sample, trial, trial, sample]


def test_shifts_change_the_gradient_as_they_change_the_likelihood(spatial: SpatialModel) -> None:
    if not spatial.shifts:
        pytest.skip("two levels have no scales")
    if "coarse" in spatial.info.name:
        pytest.skip("gradients are those of numbers before rounding")
    shifts = tuple(range(8 - spatial.shifts, 8))
    latents = np.random.default_rng(1).normal(0, 1, (20, spatial.sized(6, 5).latent))
    model = spatial.sized(6, 5, shifts)
    pixels = sample(model, 20, latents=latents)
    assert np.corrcoef(model.grad_z(pixels, latents).ravel(), slopes(model, pixels, latents).ravel())[0, 1] > 0.95
    assert not np.array_equal(model.grad_z(pixels, latents), spatial.sized(6, 5).grad_z(pixels, latents))


@pytest.mark.parametrize("steps", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_pictures_unlike_the_models_get_shifts_and_come_back(
    spatial: SpatialModel, spatial_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one has its own, between two small ones that share theirs."""
    if not spatial.shifts:
        pytest.skip("two levels have no scales")
    mode = "RGB" if spatial.info.channels == 3 else "L"
    monkeypatch.setattr("bbcompress.archive.encode.OWN_SHIFTS_SUBPIXELS", 1 << 14)
    large = math.isqrt((1 << 14) // spatial.info.channels) + 1
    images = [shifted_pictures(spatial, 10 if side == large else -10, (side, side))[0] for side in (64, large, 64)]
    pictures = [Picture(mode, image if mode == "RGB" else image[..., 0]) for image in images]
    coded = encode(spatial, pictures, PixelForm.RGB if mode == "RGB" else PixelForm.GREY, steps)
    assert isinstance(coded.payload, Tiles)
    first, own, last = coded.payload.shifts
    assert np.mean(first) < -5 < 5 < np.mean(own) and first == last
    registry = Registry(files=[spatial_path])
    monkeypatch.setattr(stored, "encode", lambda picture: bytes(2 * picture.pixels.size))
    options = Options(refine_steps=steps, model=spatial_path)
    data, _ = compress_archive(((f"{n}", picture) for n, picture in enumerate(pictures)), registry, options)
    for item in ArchiveReader(data).decode(registry):
        assert item.picture.same_as(pictures[item.number])
    single, _ = compress_single(pictures[0], registry, options)
    (item,) = ArchiveReader(single).decode(registry)
    assert item.picture.same_as(pictures[0])


def test_wrong_shifts_are_damage(spatial: SpatialModel, spatial_path: Path) -> None:
    if not spatial.shifts:
        pytest.skip("two levels have no scales")
    mode, form = ("RGB", PixelForm.RGB) if spatial.info.channels == 3 else ("L", PixelForm.GREY)
    image = shifted_pictures(spatial, 12, (90, 90))[0]
    picture = Picture(mode, image if mode == "RGB" else image[..., 0])
    payload = encode(spatial, [picture], form).payload
    assert isinstance(payload, Tiles)
    registry = Registry(files=[spatial_path])
    (shifts,) = payload.shifts
    assert shifts
    for wrong in (shifts[1:], (*shifts, 0), (shifts[0] + 1, *shifts[1:])):
        packed = pack_single(replace(payload, shifts=[wrong]), bytes(4))
        with pytest.raises(DamagedArchive):
            decode_checked(unpack_single(packed).payload, b"", registry, 10_000)


# --- archives ---------------------------------------------------------------------------------------------------


def test_pictures_of_any_size_in_files(
    spatial: SpatialModel, spatial_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode = "RGB" if spatial.info.channels == 3 else "L" if spatial.info.levels == 256 else "1"
    registry = Registry(files=[spatial_path])
    pictures = {}
    for number, (height, width) in enumerate([(19, 9), (16, 17), (1, 1), (2, 130), (16, 17)]):
        pixels = sample(spatial.sized(height, width), 1, number).reshape(height, width, -1)
        pictures[f"{number}.png"] = Picture(mode, pixels if mode == "RGB" else pixels[..., 0])
    # an untrained encoder's latents can cost more than they bring
    monkeypatch.setattr(stored, "encode", lambda picture: bytes(2 * picture.pixels.size))
    for steps in (0, 1):
        options = Options(refine_steps=steps, model=spatial_path)
        data, summary = compress_archive(pictures.items(), registry, options)
        items = sorted(ArchiveReader(data).decode(registry), key=lambda item: item.number)
        assert all(item.picture.same_as(pictures[item.name or ""]) for item in items)
        assert summary.methods == {spatial.info.name: 5}
        single, summary = compress_single(pictures["1.png"], registry, options)
        assert summary.methods == {spatial.info.name: 1}
        (item,) = ArchiveReader(single).decode(registry)
        assert item.picture.same_as(pictures["1.png"])


@pytest.mark.parametrize("steps", [0, 1])
def test_modes_that_a_model_codes_in_part(spatial: SpatialModel, spatial_path: Path, steps: int) -> None:
    random = np.random.default_rng(0)
    colour = spatial.info.channels == 3
    pictures: dict[str, Picture] = {}
    for number, (height, width) in enumerate([(19, 9), (2, 130), (19, 9)]):
        pixels = sample(spatial.sized(height, width), 1, number).reshape(height, width, -1)
        if spatial.info.levels == 2:
            pictures[f"black-and-white-{number}.png"] = Picture("L", pixels[..., 0] * np.uint8(255))
            continue
        alpha = random.integers(0, 3, (height, width, 1)).astype(np.uint8) * 100
        with_alpha = np.concatenate([pixels, alpha], axis=2)
        pictures[f"alpha-{number}.png"] = Picture("RGBA" if colour else "LA", with_alpha)
        if not colour:
            pictures[f"grey-{number}.png"] = Picture("RGB", np.repeat(pixels, 3, axis=2))
    options = Options(refine_steps=steps, model=spatial_path)
    registry = Registry(files=[spatial_path])
    data, summary = compress_archive(pictures.items(), registry, options)
    assert summary.methods == {spatial.info.name: len(pictures)}
    items = list(ArchiveReader(data).decode(registry))
    assert len(items) == len(pictures)
    assert all(item.picture.same_as(pictures[item.name or ""]) for item in items)
    (first, *_) = (part.payload for part in ArchiveReader(data).parts)
    assert isinstance(first, Tiles)
    broken = replace(first, alphas=[stored.encode(Picture("L", np.zeros((1, 1), np.uint8)))] * len(first.sizes))
    if first.form.has_alpha:
        with pytest.raises(DamagedArchive, match="alpha"):
            broken.decode(registry, 1 << 20)


# --- files ------------------------------------------------------------------------------------------------------


def test_model_files_come_back(spatial_contents: SpatialContents, spatial_path: Path, tmp_path: Path) -> None:
    contents = read(spatial_path)
    assert isinstance(contents, SpatialContents)
    assert contents.info == spatial_contents.info
    assert identity(contents) == identity(spatial_contents)
    save(tmp_path / "again", contents)
    assert load(tmp_path / "again").identity == identity(contents)


@pytest.mark.parametrize("components", [1, 2])
def test_sharper_mixtures_cost_less_where_pixels_are_certain(components: int, tmp_path: Path) -> None:
    """The sharpest logistic of -7 has 0.79 of its mass at one value, that of -9 all."""
    blunt = make_spatial(True, components=components)
    sharp = replace(blunt, info=replace(blunt.info, least_log_scale=-9))
    assert identity(sharp) != identity(blunt)
    latents = np.random.default_rng(0).normal(0, 1, (10, 24))
    pixels: Pixels | None = None
    bits = []
    for number, contents in enumerate((sharp, blunt)):
        save(tmp_path / f"{number}", contents)
        assert read(tmp_path / f"{number}").info == contents.info
        loaded = load(tmp_path / f"{number}")
        assert isinstance(loaded, SpatialModel)
        model = loaded.sized(16, 12, (-1000,) * loaded.shifts)  # every scale as small as it may be
        if pixels is None:
            pixels = sample(model, 10, latents=latents)
        distributions = [(stage.distribution(pixels), stage.symbols(pixels)) for stage in model.likelihood(latents)]
        masses = [each.intervals(symbols)[1] / 2.0**each.precision for each, symbols in distributions]
        bits.append(-np.log2(np.concatenate(masses)).mean())
    assert bits[0] < bits[1] - 0.1


@pytest.mark.parametrize("value", [-11, -6, -8.0, True, None, "-9"])
def test_sharpness_out_of_range_is_refused(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "m"
    save(path, make_spatial(True))
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    description = json.loads(metadata["bbcompress"])
    description["info"]["least_log_scale"] = value
    save_file(load_file(path), path, metadata | {"bbcompress": json.dumps(description)})
    with pytest.raises(BadModel, match="least_log_scale"):
        read(path)


def test_identity_tells_stages_apart(spatial_contents: SpatialContents) -> None:
    info = replace(spatial_contents.info, name="other")
    assert identity(replace(spatial_contents, info=info)) != identity(spatial_contents)
    first, *rest = spatial_contents.scales
    other = first._replace(spec=ScaleSpec(first.spec.stride, [(1, 1)]))
    assert identity(replace(spatial_contents, scales=[other, *rest])) != identity(spatial_contents)


BROKEN: dict[str, Callable[[SpatialContents], dict[str, Any]]] = {
    "a scale twice": lambda contents: {"scales": [*contents.scales, contents.scales[-1]]},
    "no scales": lambda contents: {"scales": []},
    "no features": lambda contents: {"scales": [contents.scales[0]._replace(features=[]), *contents.scales[1:]]},
    "other latents": lambda contents: {
        "info": replace(contents.info, latent_channels=3, grid_log2_steps=(0, 0, 0)),
    },
    "other components": lambda contents: {"info": replace(contents.info, components=contents.info.components + 2)},
    "another downscale": lambda contents: {"info": replace(contents.info, downscale=8)},
    "another stride": lambda contents: {
        "scales": [contents.scales[0]._replace(spec=ScaleSpec(8, contents.scales[0].spec.offsets))]
    },
    "encoder without output": lambda contents: {"encoder": contents.encoder[:-1]},
}


@pytest.mark.parametrize("case", BROKEN)
def test_models_that_do_not_fit_together_are_refused(
    spatial_contents: SpatialContents, tmp_path: Path, case: str
) -> None:
    with pytest.raises(BadModel):
        save(tmp_path / "m", replace(spatial_contents, **BROKEN[case](spatial_contents)))
    assert not (tmp_path / "m").exists()
