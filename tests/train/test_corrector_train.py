"""Correctors in training: their rounding is that of the integers, and a run that stops goes on as if it had not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from bbcompress.codec.corrections import expected  # noqa: E402
from bbcompress.codec.corrector import OUTPUT_BITS, Corrector, channel_slices, correction, inputs  # noqa: E402
from bbcompress.codec.general import general  # noqa: E402
from bbcompress.codec.lattice import STAGES  # noqa: E402
from bbcompress.codec.parameters import FITTED_STRIDES  # noqa: E402
from bbcompress.codec.predictor import KNOTS, Prediction, Unit  # noqa: E402
from bbcompress.coding.distributions import MICROBITS, code_lengths  # noqa: E402
from bbcompress.coding.shapes import MEAN_BITS, PRECISION  # noqa: E402
from bbcompress.exact.engine import Engine  # noqa: E402
from bbcompress.train.corrector_loop import observed, observed_whole  # noqa: E402
from bbcompress.train.corrector_networks import CorrectorNetworks, bits  # noqa: E402
from bbcompress.train.corrector_run import CPU, CorrectorOptions, CorrectorRun  # noqa: E402
from bbcompress.train.observe import Observation  # noqa: E402
from bbcompress.train.photographs import mirrored  # noqa: E402
from bbcompress.train.seen import placed  # noqa: E402

OPTIONS = CorrectorOptions(seconds=100.0, width=8, blocks=1, bf16=False)


@pytest.fixture(scope="module")
def group() -> list[Observation]:
    """Two pictures that hang together, as a step sees them."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :36]
    light = 128 + 60 * np.sin(rows / 7 + columns / 9) + random.normal(size=(2, 40, 36)) * 5
    crops = light[..., None] * (1, 0.9, 0.8) + random.normal(size=(2, 40, 36, 3)) * 2
    return observed(np.clip(crops, 0, 255).astype(np.uint8), 8, (2, 4), None, "none", 0)


def scattered(networks: CorrectorNetworks, round_to_exported: bool) -> None:
    """Give all weights values that say something; rounded, the numbers that exporting rounds are whole there."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in networks.named_parameters():
            parameter.normal_(0, 0.1, generator=generator)
            if round_to_exported and name.endswith("bias"):
                parameter.copy_((parameter * 32).round() / 32)
            if round_to_exported and "last.weight" in name:
                parameter.copy_((parameter * 1024).round() / 1024)


def some_bytes(channels: int, stage: int) -> NDArray[np.uint8]:
    """What the last of a stage's networks may see."""
    seen = inputs(channels, stage, channel_slices(channels)[-1])
    return np.random.default_rng(stage).integers(0, 256, (2, 9, 7, seen)).astype(np.uint8)


def said(exact: Corrector, stage: int, seen: NDArray[np.uint8]) -> NDArray[np.int32]:
    """What a stage's networks say, in the order of `StageNetworks`."""
    parts = []
    for network, channel_slice in zip(exact.networks(2, stage), channel_slices(exact.channels), strict=True):
        numbers = Engine().prepared(network)(np.ascontiguousarray(seen[..., : network.inputs]))
        parts.append(np.split(numbers, [n * len(channel_slice) for n in (1, 2, 3)], 3))
    return np.concatenate([part for of_all in zip(*parts, strict=True) for part in of_all], 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_exported_networks_compute_what_was_trained(channels: int) -> None:
    networks = CorrectorNetworks(channels, (FITTED_STRIDES,), 8, 1)
    for rounded in True, False:
        scattered(networks, rounded)
        exact = networks.exported()
        for stage in STAGES:
            seen = some_bytes(channels, stage)
            whole = said(exact, stage, seen)
            with torch.no_grad():
                floats = networks.of(2, stage)(torch.from_numpy(seen), torch.float32)
            trained = np.rint(floats.permute(0, 2, 3, 1).double().numpy() * 2.0**OUTPUT_BITS).astype(np.int32)
            assert len(np.unique(whole)) > 100
            if rounded:
                np.testing.assert_array_equal(trained, whole)
            else:
                # biases fall between two integers, which turns a byte where its sum was halfway
                for a, b in zip(correction(trained, range(channels)), correction(whole, range(channels)), strict=True):
                    assert (a != b).sum() <= 0.2 * a.size and np.abs(a - b).max(initial=0) <= 2


def test_new_blocks_add_nothing_at_first() -> None:
    networks = CorrectorNetworks(3, (FITTED_STRIDES,), 8, 1)
    scattered(networks, True)
    exact, larger = networks.exported(), CorrectorNetworks.restored(networks.exported(), 3).exported()
    assert (exact.blocks, larger.blocks) == (1, 3)
    for stage in STAGES:
        seen = some_bytes(3, stage)
        before, after = (said(one, stage, seen) for one in (exact, larger))
        assert len(np.unique(before)) > 100
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="3 residual blocks, more than 1"):
        CorrectorNetworks.restored(larger, 1)


def test_narrow_pictures_have_fewer_stages() -> None:
    """Of 40 rows of 8 pixels none lie to the right of the first one's, 16 pixels away, at the scale of stride 32."""
    random = np.random.default_rng(0)
    narrow, wide = (random.integers(0, 256, (2, *size, 1)).astype(np.uint8) for size in ((40, 8), (40, 40)))
    found = observed_whole([narrow, wide], 8)
    shapes = [(o.stage, o.values.shape[1:]) for o in found if o.stride == 32]
    assert shapes == [(1, (2, 1, 1)), (2, (2, 2, 1)), (3, (2, 1, 1)), (3, (2, 1, 2))]
    run = CorrectorRun(1, CorrectorOptions(width=8, bf16=False, scales=((32, 16, 8, 4, 2),)))
    assert run.held_out([found]).keys() == {(stride, stage) for stride in (64, 32, 16, 8, 4, 2) for stage in STAGES}


def test_untrained_networks_say_nothing(group: list[Observation]) -> None:
    run = CorrectorRun(3, OPTIONS)
    for alone, corrected in run.held_out([group]).values():
        np.testing.assert_array_equal(alone, corrected)
    exact = run.average.exported()
    for o in group:
        assert not said(exact, o.stage, o.seen).any()


@pytest.mark.parametrize("said", [0.0, 0.2])
def test_bits_are_those_of_the_file(group: list[Observation], said: float) -> None:
    """But for the rounding of means and numbers, and the least freq that every value has."""
    generator = torch.Generator().manual_seed(1)
    for o in group:
        numbers = said * torch.randn(o.seen.shape[0], 12, *o.seen.shape[1:3], generator=generator)
        numbers[:, 3:9] = 0  # octaves and shapes are rounded too coarsely to compare
        trained = bits(numbers, *placed(o, CPU).tensors[1:], o.depth)
        whole = np.rint(numbers.movedim(1, 3).double().numpy() * 2.0**OUTPUT_BITS).astype(np.int32)
        found = correction(whole, range(3))
        errors: list[NDArray[np.int32]] = []
        for channel, shape in enumerate(o.shapes):
            unit = Unit(o.stage, channel, 3)
            # a table of classes that leaves them as they are, and the whole of what is said
            own = general(unit)._replace(knots=np.zeros(KNOTS, np.int64), shape=shape, gain=8, wider=0)
            values = o.values[channel].ravel()
            means = np.rint((values - o.errors[channel].ravel()) * 2**MEAN_BITS).astype(np.int64)
            prediction = Prediction(means, o.classes[channel].ravel().astype(np.int64))
            told = expected(own, unit, o.depth, prediction, found.of(channel, range(3)), errors)
            errors.append(told.errors(values))
            exact = code_lengths(told.distribution(o.depth).intervals(values)[1], PRECISION) / MICROBITS
            # in training no value takes more than 20 bits
            difference = (trained[channel].numpy().ravel() - exact)[exact < 12]
            assert abs(difference.mean()) < 0.003 and np.abs(difference).max() < 0.2


def test_steps_lower_the_bits_of_what_is_seen_again(group: list[Observation]) -> None:
    run = CorrectorRun(3, OPTIONS)
    run.seconds = 10.0  # after the warm-up
    batch = [placed(o, CPU) for o in group]
    losses = [run.take_step(batch) for _ in range(60)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.02
    assert all(torch.isfinite(parameter).all() for parameter in run.networks.parameters())
    found = run.held_out([group])
    assert found.keys() == {(stride, stage) for stride in (2, 4) for stage in STAGES}
    alone, corrected = np.mean([pair.mean(1) for pair in found.values()], 0)
    assert corrected < alone


def test_a_run_goes_on_as_if_it_had_not_stopped(group: list[Observation], tmp_path: Path) -> None:
    run, again = CorrectorRun(3, OPTIONS), CorrectorRun(3, CorrectorOptions(**{**vars(OPTIONS), "seed": 5}))
    batch = [placed(o, CPU) for o in group]
    run.take_step(batch)
    run.seconds = 7.5
    run.save(tmp_path / "a.checkpoint")
    again.load(tmp_path / "a.checkpoint")
    assert (again.step, again.seconds) == (1, 7.5)
    assert [run.take_step(batch) for _ in range(3)] == [again.take_step(batch) for _ in range(3)]
    for one, other in ((run.networks, again.networks), (run.average, again.average)):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["a.checkpoint"]


def test_a_run_of_other_networks_is_refused(tmp_path: Path) -> None:
    CorrectorRun(3, OPTIONS).save(tmp_path / "a.checkpoint")
    with pytest.raises(ValueError, match="other networks; remove it"):
        CorrectorRun(3, CorrectorOptions(width=16)).load(tmp_path / "a.checkpoint")


def test_changed_crops_are_of_the_same_kind() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype(np.uint8)
    kinds = set()
    for seed in range(6):
        found = observed(crops, 8, (2,), None, "photographs", seed)
        assert {o.stage for o in found} == set(STAGES)
        assert all(o.values.min() >= 0 and o.values.max() <= 255 for o in found)
        kinds.add(found[0].values.tobytes())
    assert len(kinds) > 3


def test_mirrored_crops_are_parts_of_what_they_were() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 20, 24, 3)).astype(np.uint8)
    kinds, sizes = set(), set()
    for seed in range(12):
        found = mirrored(crops, np.random.default_rng(seed))
        height, width = found.shape[2:]
        places = [(i, j) for i in range(21 - height) for j in range(25 - width)]
        parts = [crops.transpose(3, 0, 1, 2)[:, :, i : i + height, j : j + width] for i, j in places]
        for picture in range(5):
            of = {(n, turn) for n, part in enumerate(parts) for turn in (1, -1)
                  if np.array_equal(found[:, picture], part[:, picture, :, ::turn])}  # fmt: skip
            assert len(of) == 1
            kinds |= of
        sizes.add((height, width))
    assert sizes == {(20, 24), (18, 22)}
    assert {turn for _, turn in kinds} == {1, -1} and len({place for place, _ in kinds}) > 2


def test_means_outside_the_values_find_back() -> None:
    """Of black and white, where a network has moved every mean out of range, on the wrong side."""
    numbers = torch.zeros(1, 3, 1, 2)
    numbers[0, 0] = torch.tensor([[3.5, -3.5]])
    numbers.requires_grad_()
    values, errors = torch.tensor([0, 1]).view(1, 1, 1, 2), torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2)
    bits(numbers, values, errors, torch.full((1, 1, 1, 2), 32), torch.full((1, 1), 8.0), 1).sum().backward()
    assert numbers.grad is not None
    assert numbers.grad[0, 0, 0, 0] > 0 > numbers.grad[0, 0, 0, 1]


@pytest.mark.parametrize("error", [0.3, -7.0, 19.0, 90.0])
@pytest.mark.parametrize("shape", [0.0, 6.3, 15.0])
def test_gradients_are_what_bits_change_by(error: float, shape: float) -> None:
    """Of a scale of 1/2, so that the largest error lies where the table has ended."""
    values, errors = torch.full((1, 1, 1, 1), 128), torch.full((1, 1, 1, 1), error)
    classes = torch.full((1, 1, 1, 1), 32)
    numbers = torch.tensor([0.01, 0.02, 0.05]).view(1, 3, 1, 1).requires_grad_()

    def cost(at: torch.Tensor) -> torch.Tensor:
        return bits(at, values, errors, classes, torch.tensor([[shape]]), 8).sum()

    cost(numbers).backward()
    assert numbers.grad is not None
    for place in range(3):
        step = torch.zeros_like(numbers)
        step[0, place] = 0.01
        with torch.no_grad():
            change = float(cost(numbers + step) - cost(numbers - step)) / 0.02
        assert float(numbers.grad[0, place, 0, 0]) == pytest.approx(change, rel=0.1, abs=0.02)
