"""Training: the objective, resuming, and that the exported exact model is the float model."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bbcompress.cli import main
from bbcompress.codec.elbo import negative_elbo_bits_per_dim
from bbcompress.codec.model_file import load, read
from bbcompress.coding.distributions import EqualMassBins

torch = pytest.importorskip("torch")

from bbcompress.train.architectures import restore  # noqa: E402
from bbcompress.train.export import BINS_PER_SIGMA, export, grid_log2_steps, latent_bits  # noqa: E402
from bbcompress.train.loop import (  # noqa: E402
    OtherRun,
    TrainingOptions,
    TrainingState,
    evaluate,
    learning_rate,
    snapshot,
    train,
    with_weights,
)
from bbcompress.train.objectives import ELBO, HalfAsleep, gradients  # noqa: E402
from bbcompress.train.parallel import DataParallel  # noqa: E402
from bbcompress.train.vae import VAE, VAEConfig, logistic_log_mass  # noqa: E402

OPTIONS = TrainingOptions(epochs=3, batch=50, learning_rate=3e-3, schedule="cosine", ema=0.9, seed=5)


def blobs(levels, count=1000):
    """Bright spots at random places of 8 x 6 images, (count, 48) uint8."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:8, :6]
    centres = random.uniform([1, 1], [7, 5], (count, 2))
    distance = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None])
    images = np.clip(300 - 120 * distance, 0, 255).reshape(count, -1)
    return (images >= 128).astype(np.uint8) if levels == 2 else images.astype(np.uint8)


def config(levels):
    return VAEConfig(height=8, width=6, levels=levels, latent=3, hidden=32, components=1 if levels == 2 else 2)


def fresh(levels, seed=5):
    torch.manual_seed(seed)
    return VAE(config(levels))


def split(levels):
    """800 training and 200 held-out images."""
    pixels = torch.from_numpy(blobs(levels))
    return pixels[:800], pixels[800:]


def quiet(row):
    pass


@pytest.mark.parametrize("components", [1, 3])
def test_logistic_masses_sum_to_one(components):
    generator = torch.Generator().manual_seed(0)
    size = 20
    outputs = (2 if components == 1 else 3) * components
    output = torch.randn((1, outputs * size), generator=generator).double()
    masses = [
        logistic_log_mass(output, torch.full((1, size), value, dtype=torch.float64), components).exp()
        for value in range(256)
    ]
    assert torch.allclose(torch.stack(masses).sum(0), torch.ones(1, size, dtype=torch.float64), atol=1e-9)


def test_kl_and_elbo_of_a_known_model():
    model = VAE(config(2))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    # q(z|x) is the prior and every pixel a fair coin, so that -ELBO is one bit a pixel
    assert evaluate(model, torch.from_numpy(blobs(2))) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("levels", [2, 256])
def test_training_learns_and_the_exact_model_agrees(tmp_path, levels):
    pixels = torch.from_numpy(blobs(levels))
    rows = []
    path = tmp_path / "model.safetensors"
    options = TrainingOptions(epochs=8, batch=50, learning_rate=3e-3)
    state = train(fresh(levels), *split(levels), options, path, rows.append)
    assert rows[-1]["held_out_bits_per_dim"] < 0.9 * rows[0]["held_out_bits_per_dim"]
    assert state.best_bits_per_dim == min(row["held_out_bits_per_dim"] for row in rows)
    export(state.best, pixels, "blobs", path)
    float_rate = evaluate(state.best, pixels, samples=20)
    assert negative_elbo_bits_per_dim(load(path).sized(8, 6), pixels.numpy(), samples=20) == pytest.approx(
        float_rate, rel=0.005
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_a_resumed_run_gives_the_same_weights(tmp_path, threads):
    class Stop(Exception):
        pass

    def stop_after_first(row):
        raise Stop

    whole = train(fresh(2), *split(2), OPTIONS, tmp_path / "whole", quiet, threads=threads)
    with pytest.raises(Stop):
        train(fresh(2), *split(2), OPTIONS, tmp_path / "parts", stop_after_first, threads=threads)
    resumed_rows = []
    parts = train(fresh(2), *split(2), OPTIONS, tmp_path / "parts", resumed_rows.append, threads=threads)
    assert [row["epoch"] for row in resumed_rows] == [2, 3]
    for name, tensor in whole.best.state_dict().items():
        assert torch.equal(tensor, parts.best.state_dict()[name]), name
    logs = [list(csv.reader((tmp_path / f"{name}.csv").open())) for name in ("whole", "parts")]
    assert [[*row[:1], *row[2:]] for row in logs[0]] == [[*row[:1], *row[2:]] for row in logs[1]]  # but for seconds


def test_a_checkpoint_of_other_options_is_refused(tmp_path):
    train(fresh(2), *split(2), TrainingOptions(epochs=1, seed=5), tmp_path / "run", quiet)
    others = [(fresh(2), OPTIONS), (fresh(2, seed=6), TrainingOptions(epochs=1, seed=5))]
    others += [(fresh(2), TrainingOptions(epochs=1, seed=5, objective=HalfAsleep()))]
    for start, options in others:
        with pytest.raises(OtherRun, match="other options"):
            TrainingState(start, options).load(tmp_path / "run.checkpoint")
    # a run may be made longer
    TrainingState(fresh(2), TrainingOptions(epochs=9, seed=5)).load(tmp_path / "run.checkpoint")


def test_the_last_weights_are_kept_and_snapshots_are_what_they_were(tmp_path):
    options = TrainingOptions(epochs=4, batch=50, keep_best=False, gradient_clip=0, snapshots=2)
    rows = []
    state = train(fresh(2), *split(2), options, tmp_path / "run", rows.append)
    assert state.best_epoch == 4
    assert rows[-1]["held_out_bits_per_dim"] == evaluate(state.best, split(2)[1])
    halfway = train(fresh(2), *split(2), replace(options, epochs=2), tmp_path / "half", quiet)
    for epoch, model in ((4, state.best), (2, halfway.best)):
        kept = with_weights(fresh(2), snapshot(tmp_path / "run", epoch))
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, kept.state_dict()[name]), name
    assert not snapshot(tmp_path / "run", 1).exists()


def test_a_run_warms_up(tmp_path):
    """While it does, latents hardly cost anything."""
    kl = []
    for warm_up in (0, 10**9):
        options = TrainingOptions(epochs=5, batch=50, learning_rate=3e-3, warm_up=warm_up)
        state = train(fresh(2), *split(2), options, tmp_path / str(warm_up), quiet)
        with torch.no_grad():
            kl.append(float(state.best.posterior(split(2)[1]).kl_nats().mean()))
    assert kl[1] > 2 * kl[0]


def test_an_encoder_alone_leaves_the_decoder_as_it_was(tmp_path):
    start = fresh(2)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    options = TrainingOptions(encoder_only=True, objective=HalfAsleep(), epochs=2, batch=50, learning_rate=3e-3)
    state = train(start, *split(2), options, tmp_path / "run", quiet)
    for name, tensor in state.best.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("decoder"), name


@pytest.mark.parametrize(("objective", "encoder_only"), [(ELBO(), False), (ELBO(), True), (HalfAsleep(), False)])
def test_threads_together_find_the_gradient_of_the_batch(objective, encoder_only):
    together, alone = fresh(2), fresh(2)
    pixels = split(2)[0][:50]
    parts = pixels[:17], pixels[17:34], pixels[34:]

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    loss = DataParallel(together, 3).gradients(objective, pixels, generators(), encoder_only)
    expected, expected_loss = {}, 0.0
    for part, generator in zip(parts, generators(), strict=True):
        alone.zero_grad()
        share = len(part) / len(pixels)
        expected_loss += share * float(gradients(alone, objective, part, generator, encoder_only))
        for name, parameter in alone.named_parameters():
            if parameter.grad is not None:
                expected[name] = expected.get(name, 0) + share * parameter.grad
    assert float(loss) == pytest.approx(expected_loss, rel=1e-5)
    assert len(expected) == (6 if encoder_only else 12)
    for name, parameter in together.named_parameters():
        if name in expected:
            assert torch.allclose(parameter.grad, expected[name], rtol=1e-4, atol=1e-7), name
        else:
            assert parameter.grad is None, name


def test_schedules():
    constant = TrainingOptions(learning_rate=0.5)
    assert {learning_rate(constant, step, 1000) for step in (0, 500, 999)} == {0.5}
    cosine = TrainingOptions(learning_rate=0.5, schedule="cosine")
    rates = [learning_rate(cosine, step, 10_000) for step in range(10_000)]
    assert rates[0] == pytest.approx(0.5 / 500)
    assert math.isclose(max(rates), 0.5, rel_tol=0.01)
    assert rates[-1] < 1e-6


def test_the_command_trains_resumes_and_reports(tmp_path):
    data, test = tmp_path / "train.npy", tmp_path / "test.npy"
    np.save(data, blobs(256).reshape(-1, 8, 6))
    np.save(test, blobs(256, 100).reshape(-1, 8, 6))
    path = tmp_path / "spots.safetensors"
    arguments = ["train", str(data), "-o", str(path), "--likelihood", "bernoulli", "--latent", "2", "--hidden", "16"]
    arguments += ["--architecture", "dense"]
    arguments += ["--epochs", "2", "--validation", "200", "--test", str(test)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "epoch 2: train" in done.output
    assert "test -ELBO: float " in done.output
    model = load(path)
    assert (model.info.name, model.info.size, model.info.levels) == ("spots", "6x8", 2)
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert "epoch 2: train" not in again.output
    assert load(path).identity == model.identity


def test_colour_images_are_refused_clearly(tmp_path):
    data = tmp_path / "colour.npy"
    np.save(data, np.zeros((300, 4, 4, 3), np.uint8))
    done = CliRunner().invoke(
        main, ["train", str(data), "-o", str(tmp_path / "m.safetensors"), "--architecture", "dense"]
    )
    assert done.exit_code == 1
    assert "3 channels" in done.output
    assert not (tmp_path / "m.safetensors").exists()


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """A folder with data and a model of spots, trained by the command."""
    folder = tmp_path_factory.mktemp("spots")
    images = blobs(2).reshape(-1, 8, 6)
    np.save(folder / "train.npy", images[:900])
    np.save(folder / "test.npy", images[900:])
    model = folder / "spots.safetensors"
    arguments = ["train", folder / "train.npy", "-o", model, "--likelihood", "bernoulli", "--latent", 3, "--hidden", 32]
    arguments += ["--architecture", "dense"]
    arguments += ["--epochs", 10, "--batch", 50, "--learning-rate", 3e-3, "--validation", 100]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return folder


def test_a_restored_model_is_the_exact_one(spots):
    path = spots / "spots.safetensors"
    pixels = blobs(2)[900:]
    restored = evaluate(restore(read(path)), torch.from_numpy(pixels), samples=50)
    assert restored == pytest.approx(negative_elbo_bits_per_dim(load(path).sized(8, 6), pixels, samples=50), rel=0.005)


@pytest.mark.parametrize("objective", ["elbo", "sleep", "reverse-sleep", "half-asleep", "denoising"])
def test_fit_encoder_writes_a_model_with_the_same_decoder(spots, tmp_path, objective):
    old, new = spots / "spots.safetensors", tmp_path / "new.safetensors"
    arguments = ["fit-encoder", old, spots / "train.npy", "-o", new, "--objective", objective, "--epochs", 1]
    arguments += ["--batch", 50, "--validation", 100, "--test", spots / "test.npy", "--name", "fitted"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert "test -ELBO, exact: old 0." in done.output
    before, after = read(old), read(new)
    for layer, other in zip(before.decoder, after.decoder, strict=True):
        np.testing.assert_array_equal(layer.weight, other.weight)
        np.testing.assert_array_equal(layer.bias, other.bias)
        assert (layer.input, layer.output) == (other.input, other.output)
    assert any((a.weight != b.weight).any() for a, b in zip(before.encoder, after.encoder, strict=True))
    assert after.info.name == "fitted"


def test_a_checkpoint_of_another_run_is_one_line(spots, tmp_path):
    model = tmp_path / "m.safetensors"
    for arguments, code in ((["--latent", "2"], 0), (["--latent", "3"], 1)):
        options = ["--hidden", "8", "--epochs", "1", "--validation", "100", "--architecture", "dense", *arguments]
        done = CliRunner().invoke(main, ["train", str(spots / "train.npy"), "-o", str(model), *options])
        assert done.exit_code == code, done.output
    assert done.output.splitlines() == [
        f"bbc: {model}.checkpoint: written by a run with other options; remove it to start anew"
    ]


def test_fit_encoder_never_writes_over_its_model(spots):
    path = spots / "spots.safetensors"
    before = path.read_bytes()
    done = CliRunner().invoke(main, ["fit-encoder", str(path), str(spots / "train.npy"), "-o", str(path)])
    assert done.exit_code == 2
    assert "is the model itself" in done.output
    assert path.read_bytes() == before


def test_training_goes_on_from_a_model(spots, tmp_path):
    old, new = spots / "spots.safetensors", tmp_path / "new.safetensors"
    before = old.read_bytes()
    arguments = ["train", spots / "train.npy", "--start", old, "--epochs", 1, "--learning-rate", 1e-12]
    arguments += ["--validation", 100, "-o"]
    done = CliRunner().invoke(main, [str(argument) for argument in [*arguments, new]])
    assert done.exit_code == 0, done.output
    pixels = blobs(2)[900:]
    rates = [negative_elbo_bits_per_dim(load(path).sized(8, 6), pixels, samples=4) for path in (old, new)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-3)
    wrongs = [
        ([old], "is the model itself"),
        ([new, "--latent", 3], "--latent is the starting model's"),
        ([new, "--stage-blocks", 1], "the model has no stages"),
        ([new, "--coarser"], "the model has no stages"),
    ]
    for wrong, message in wrongs:
        done = CliRunner().invoke(main, [str(argument) for argument in [*arguments, *wrong]])
        assert (done.exit_code, message in done.output) == (2, True)
    assert old.read_bytes() == before


def test_images_that_do_not_fit_the_model_are_refused(spots, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((300, 8, 7), np.uint8))
    arguments = ["fit-encoder", str(spots / "spots.safetensors"), str(tmp_path / "wide.npy"), "-o"]
    done = CliRunner().invoke(main, [*arguments, str(tmp_path / "new.safetensors")])
    assert done.exit_code == 1
    assert "the model takes (8, 6, 1)" in done.output


def test_diagnose_measures_what_a_better_encoder_could_gain(spots):
    arguments = ["diagnose", spots / "spots.safetensors", "--train", spots / "train.npy", "--test", spots / "test.npy"]
    arguments += ["--epochs", 30, "--json"]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["test_optimal_per_image"] < found["test_optimal_encoder"] < found["test"]
    assert found["inference_gap"] == pytest.approx(found["test"] - found["test_optimal_encoder"])
    assert found["remaining_gap"] == pytest.approx(found["test_optimal_encoder"] - found["train"])
    arguments[-1:] = ["--images", 50]
    text = CliRunner().invoke(main, [str(argument) for argument in arguments]).stdout
    assert "test optimal per image" in text


@pytest.mark.parametrize("sigma", [0.8, 0.1, 0.02])
def test_bins_are_fine_enough_for_the_sharpest_posteriors_and_no_finer(sigma):
    log_scale = torch.zeros(200, 8)
    log_scale[:, 0] = math.log(sigma)
    edges = EqualMassBins.of(latent_bits(log_scale)).edges
    centre = len(edges) // 2
    bins_per_sigma = sigma / (edges[centre + 1] - edges[centre])
    assert BINS_PER_SIGMA * 0.99 < bins_per_sigma < BINS_PER_SIGMA * 2.01


def test_posteriors_that_say_nothing_or_all_have_bins_too():
    assert [latent_bits(torch.full((9, 2), log_scale)) for log_scale in (3.0, -7.0)] == [4, 12]


def test_grids_are_the_best_of_neighbouring_powers_of_two_where_deviations_differ():
    deviations = torch.tensor([[0.25, 0.5, 0.02], [1.0, 0.5, 0.1], [1.0, 0.5, 1.0]])
    for log2_step, spread in zip(grid_log2_steps(deviations.log()), deviations.T, strict=True):
        steps = 2.0 ** torch.arange(log2_step - 1, log2_step + 2)
        nats = (steps[:, None] ** 2 / (24 * spread**2)).mean(1) - steps.log()
        assert nats.argmin() == 1


@pytest.mark.parametrize("option", [["--flip"], ["--distort", "0.1"], ["--muon"]])
def test_options_for_convolutional_models_are_refused(tmp_path, option):
    np.save(tmp_path / "blobs.npy", blobs(2, 100).reshape(100, 8, 6))
    arguments = [tmp_path / "blobs.npy", "-o", tmp_path / "model.safetensors", "--architecture", "dense", *option]
    done = CliRunner().invoke(main, ["train", *map(str, arguments), "--batch", "10", "--validation", "10"])
    assert (done.exit_code, "convolutional" in done.output) == (2, True)
    assert not (tmp_path / "model.safetensors").exists()
