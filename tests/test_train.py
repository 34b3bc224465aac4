"""Training: the objective, resuming, and that the exported exact model is the float model."""

import csv
import math

import numpy as np
import pytest
from click.testing import CliRunner

from bbcompress.cli import main
from bbcompress.codec.elbo import negative_elbo_bits_per_dim
from bbcompress.codec.model_file import load

torch = pytest.importorskip("torch")

from bbcompress.train.export import export  # noqa: E402
from bbcompress.train.loop import TrainingOptions, TrainingState, evaluate, learning_rate, train  # noqa: E402
from bbcompress.train.vae import VAE, VAEConfig, logistic_log_mass  # noqa: E402

OPTIONS = TrainingOptions(epochs=3, batch=50, learning_rate=3e-3, schedule="cosine", ema=0.9, validation=200, seed=5)


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
    options = TrainingOptions(epochs=8, batch=50, learning_rate=3e-3, validation=200)
    state = train(pixels, config(levels), options, path, rows.append)
    assert rows[-1]["validation_bits_per_dim"] < 0.9 * rows[0]["validation_bits_per_dim"]
    assert state.best_bits_per_dim == min(row["validation_bits_per_dim"] for row in rows)
    export(state.best, pixels, "blobs", path)
    float_rate = evaluate(state.best, pixels, samples=20)
    assert negative_elbo_bits_per_dim(load(path), pixels.numpy(), samples=20) == pytest.approx(float_rate, rel=0.005)


def test_a_resumed_run_gives_the_same_weights(tmp_path):
    pixels = torch.from_numpy(blobs(2))

    class Stop(Exception):
        pass

    def stop_after_first(row):
        raise Stop

    whole = train(pixels, config(2), OPTIONS, tmp_path / "whole", lambda row: None)
    with pytest.raises(Stop):
        train(pixels, config(2), OPTIONS, tmp_path / "parts", stop_after_first)
    resumed_rows = []
    parts = train(pixels, config(2), OPTIONS, tmp_path / "parts", resumed_rows.append)
    assert [row["epoch"] for row in resumed_rows] == [2, 3]
    for name, tensor in whole.best.state_dict().items():
        assert torch.equal(tensor, parts.best.state_dict()[name]), name
    logs = [list(csv.reader((tmp_path / f"{name}.csv").open())) for name in ("whole", "parts")]
    assert [[*row[:1], *row[2:]] for row in logs[0]] == [[*row[:1], *row[2:]] for row in logs[1]]  # but for seconds


def test_a_checkpoint_of_other_options_is_refused(tmp_path):
    state = TrainingState(config(2), OPTIONS)
    path = tmp_path / "checkpoint"
    pixels = torch.from_numpy(blobs(2))
    train(pixels, config(2), TrainingOptions(epochs=1, validation=200, seed=5), tmp_path / "run", lambda row: None)
    (tmp_path / "run.checkpoint").rename(path)
    with pytest.raises(ValueError, match="other options"):
        state.load(path)


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
    arguments += ["--epochs", "2", "--validation", "200", "--test", str(test)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "epoch 2: train" in done.output
    assert "test -ELBO: float " in done.output
    model = load(path)
    assert (model.info.name, model.info.shape, model.info.levels) == ("spots", (8, 6, 1), 2)
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert "epoch 2: train" not in again.output
    assert load(path).identity == model.identity


def test_colour_images_are_refused_clearly(tmp_path):
    data = tmp_path / "colour.npy"
    np.save(data, np.zeros((300, 4, 4, 3), np.uint8))
    done = CliRunner().invoke(main, ["train", str(data), "-o", str(tmp_path / "m.safetensors")])
    assert done.exit_code == 1
    assert "3 channels" in done.output
    assert not (tmp_path / "m.safetensors").exists()
