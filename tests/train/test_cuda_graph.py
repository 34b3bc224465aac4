"""Steps that can be captured: what they wait for, where their inputs lie, and that graphs and plain steps agree."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from bbcompress.codec.corrector import channel_slices, inputs  # noqa: E402
from bbcompress.codec.lattice import STAGES  # noqa: E402
from bbcompress.train.corrector_run import CorrectorOptions, CorrectorRun  # noqa: E402
from bbcompress.train.cuda_graph import EAGER_STEPS, GraphedStep, NoSuchDevice, chosen_device  # noqa: E402
from bbcompress.train.loop import CPU, TrainingOptions, TrainingState, train  # noqa: E402
from bbcompress.train.objectives import ELBO, Denoising, HalfAsleep, Sleep  # noqa: E402
from bbcompress.train.observe import Observation  # noqa: E402
from bbcompress.train.seen import joined, placed  # noqa: E402
from bbcompress.train.spatial_vae import SpatialConfig, SpatialVAE  # noqa: E402
from bbcompress.train.vae import VAE, VAEConfig  # noqa: E402

WAITS = ("_local_scalar_dense", "nonzero", "lift_fresh", "is_nonzero", "masked_select")
"""Operations that wait for values on a device, or bring some there: a graph can have none."""


class Operations(TorchDispatchMode):
    """Notes the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*arguments, **(named or {}))


MODELS = {
    "dense": (lambda: VAE(VAEConfig(8, 8, 256, latent=3, hidden=16, components=2)), (64,)),
    "convolutional": (lambda: SpatialVAE(SpatialConfig(components=1, width=8, blocks=1)), (3, 8, 8)),
    "staged": (lambda: SpatialVAE(SpatialConfig(components=2, width=8, blocks=1, phases=True)), (3, 8, 8)),
}


@pytest.mark.parametrize("objective", [ELBO(), HalfAsleep(0.5, "aggregate"), Sleep(), Denoising(0.2)], ids=repr)
@pytest.mark.parametrize("name", MODELS)
def test_a_step_waits_for_nothing(name, objective):
    make, shape = MODELS[name]
    options = TrainingOptions(objective, warm_up=5, ema=0.9, muon=name != "dense")
    state = TrainingState(make(), options)
    pixels = torch.randint(0, 256, (6, *shape), dtype=torch.uint8)
    numbers = [torch.tensor(value) for value in (1e-3, 0.5, 0.1)]
    generators = [torch.Generator()]
    with Operations() as operations:
        state.take_step(pixels, *numbers, generators)
    assert not operations.names & set(WAITS)
    assert "normal_" in operations.names


def test_waiting_would_be_noticed():
    with Operations() as operations:
        torch.ones(3).sum().item()
    assert operations.names & set(WAITS)


def observations(seed):
    """Two scales of two crops of 16 x 16 pixels, as `bbcompress.train.observe` gives them."""
    random = np.random.default_rng(seed)
    found = []
    for stride, stage in product((4, 2), STAGES):
        places = (2, 16 // stride, 16 // stride)
        seen = random.integers(0, 256, (*places, inputs(3, stage, channel_slices(3)[-1])), np.uint8)
        values = random.integers(0, 256, (3, *places))
        errors = random.normal(0, 20, values.shape).astype(np.float32)
        classes = random.integers(20, 40, values.shape, np.uint8)
        o = Observation(stride, stage, 8, seen, values, errors, classes, (1 + seed, 2, 3))
        found.append(placed(o, CPU))
    return found


CORRECTOR = CorrectorOptions(width=8)


def test_a_correctors_step_waits_for_nothing():
    run = CorrectorRun(3, CORRECTOR)
    made = []
    run.take_step(observations(0))
    step = next(iter(run._steps.values()))
    step._step = lambda *tensors: made.append(watched(run, tensors)) or torch.zeros(())
    run.take_step(observations(1))
    assert "convolution_backward" in made[0] and not made[0] & set(WAITS)


def watched(run, tensors):
    """Names of what a step does with tensors."""
    (layout,) = run._steps
    with Operations() as operations:
        run._step(layout, *tensors)
    return operations.names


def test_a_correctors_step_of_two_groups_is_the_mean_of_theirs():
    """The sum of their gradients, which no optimiser tells from the mean."""
    runs = [CorrectorRun(3, replace(CORRECTOR, bf16=False)) for _ in range(2)]
    groups = observations(0), observations(1)
    rate = float(runs[0].take_step(joined(groups)))
    apart = [float(CorrectorRun(3, replace(CORRECTOR, bf16=False)).take_step(group)) for group in groups]
    assert rate == pytest.approx(sum(apart) / 2, rel=1e-5)
    assert [len(seen.tensors[0]) for seen in joined(groups)] == [4] * 6
    runs[1].take_step(groups[0])
    assert len(runs[0]._steps) == len(runs[1]._steps) == 1
    assert not torch.equal(*(run.networks.of(2, 1).networks[1].last.weight for run in runs))


def test_gradients_that_are_not_finite_leave_weights_finite():
    run = CorrectorRun(3, CORRECTOR)
    hook = run.networks.of(2, 1).networks[1].last.weight.register_hook(lambda gradient: gradient * float("inf"))
    run.take_step(observations(0))
    hook.remove()
    run.take_step(observations(0))
    assert all(torch.isfinite(parameter).all() for parameter in run.networks.parameters())


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(NoSuchDevice, match="cannot compute on nonsense"):
        chosen_device("nonsense")
    assert chosen_device("cpu") == CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu_it_learns_as_on_the_cpu(tmp_path, name):
    make, shape = MODELS[name]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(100, 130, (400, *shape), dtype=torch.uint8, generator=generator)
    options = TrainingOptions(epochs=3, batch=20, learning_rate=2e-3, warm_up=30, ema=0.9, flip=name != "dense")
    rates = {}
    for device in (CPU, chosen_device("cuda")):
        torch.manual_seed(0)
        rows = []
        state = train(make(), pixels[:300], pixels[300:], options, tmp_path / device.type, rows.append, device)
        assert state.step == 45 > EAGER_STEPS
        assert next(state.best.parameters()).device == CPU
        rates[device.type] = [row["held_out_bits_per_dim"] for row in rows]
    assert rates["cuda"] == pytest.approx(rates["cpu"], rel=0.05)
    assert rates["cuda"][-1] < rates["cuda"][0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_replayed_steps_draw_new_noise_and_the_same_after_seeding():
    device = chosen_device("cuda")
    generator = torch.Generator(device)
    step = GraphedStep(
        lambda scale: torch.empty(4, device=device).normal_(generator=generator) * scale, device, [generator]
    )
    drawn = []
    for _ in range(2):
        generator.manual_seed(7)
        drawn.append([step(1.0).clone() for _ in range(EAGER_STEPS + 3)])
    assert all(torch.equal(first, again) for first, again in zip(*drawn, strict=True))
    assert not torch.equal(drawn[0][-1], drawn[0][-2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_corrector_learns_on_a_gpu_as_on_the_cpu():
    rates = {}
    for device in (CPU, chosen_device("cuda")):
        run = CorrectorRun(3, replace(CORRECTOR, bf16=False), device=device)
        rates[device.type] = [float(run.take_step(observations(step % 3))) for step in range(20)]
        assert run.held_out([observations(3)]).keys() == {(stride, stage) for stride in (2, 4) for stage in STAGES}
    assert rates["cuda"] == pytest.approx(rates["cpu"], rel=0.01)
