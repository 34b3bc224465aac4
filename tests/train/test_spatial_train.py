"""Convolutional VAEs in torch, and that their exact form is the same model."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from bbcompress.cli import main
from bbcompress.codec.elbo import negative_elbo_bits_per_dim
from bbcompress.codec.layer_specs import ResidualSpec
from bbcompress.codec.model_file import load, read, read_header, save
from bbcompress.datasets import binarize

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from bbcompress.train.architectures import export, new_model, restore, to_tensor  # noqa: E402
from bbcompress.train.augment import distorted  # noqa: E402
from bbcompress.train.equalize import equalize  # noqa: E402
from bbcompress.train.grow import with_coarser_scale  # noqa: E402
from bbcompress.train.loop import TrainingOptions, evaluate, train  # noqa: E402
from bbcompress.train.spatial_vae import (  # noqa: E402
    Convolution,
    Mixtures,
    Residual,
    Seeing,
    SpatialConfig,
    SpatialVAE,
    view,
)
from bbcompress.train.vae import mixture_log_mass, sample_mixture  # noqa: E402

ARCHITECTURES = ("convolutional", "staged")


def blobs(count=300, channels=3, height=12):
    """Coloured gradients with a bright spot, (count, height, 8, channels) uint8."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:height, :8]
    centres = random.uniform([1, 1], [11, 7], (count, 2))
    distance = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None])
    colours = random.uniform(0.3, 1, (count, 1, 1, channels))
    spots = np.clip(255 - 60 * distance, 20, 255)[..., None] * colours
    return np.clip(spots + random.normal(0, 2, spots.shape), 0, 255).astype(np.uint8)


def trained(architecture, folder, channels=3, levels=256, components=2, stage_blocks=0, coarser=False):
    """A few seconds' model, and the images that it was trained on."""
    torch.manual_seed(0)
    images = blobs(channels=channels, height=16 if coarser else 12)
    images = binarize(images) if levels == 2 else images
    shape = images.shape[1:]
    model = new_model(architecture, shape, levels, components, latent=2, hidden=16, blocks=1, stage_blocks=stage_blocks)
    model = with_coarser_scale(model) if coarser else model
    pixels = to_tensor(model, images)
    options = TrainingOptions(epochs=12, batch=25, learning_rate=3e-3)
    rows = []
    state = train(model, pixels[:250], pixels[250:], options, folder / "run", rows.append)
    assert rows[-1]["held_out_bits_per_dim"] < rows[0]["held_out_bits_per_dim"]
    return state.best, pixels, images


COLOUR, GREY, BITS = (3, 256, 2), (1, 256, 1), (1, 2, 1)


@pytest.mark.parametrize(
    ("architecture", "stage_blocks", "coarser", "pixels_of"),
    [
        ("convolutional", 0, False, GREY),
        ("staged", 0, False, COLOUR),
        ("staged", 1, False, BITS),
        ("staged", 1, True, COLOUR),
        *(
            pytest.param(*kind, pixels_of, marks=pytest.mark.slow)
            for kind in [("convolutional", 0, False), ("staged", 0, False), ("staged", 1, False), ("staged", 1, True)]
            for pixels_of in (COLOUR, GREY, BITS)
        ),
    ],
)
def test_the_exact_model_is_the_float_model(tmp_path, architecture, stage_blocks, coarser, pixels_of):
    _, levels, _ = pixels_of
    model, pixels, images = trained(architecture, tmp_path, *pixels_of, stage_blocks, coarser)
    path = tmp_path / "model.safetensors"
    export(model, pixels, "blobs", path)
    exact = load(path).sized(*images.shape[1:3])
    rows = images.reshape(len(images), -1)
    samples = 40 if levels == 2 else 5  # a bit's cost varies more
    assert negative_elbo_bits_per_dim(exact, rows, samples) == pytest.approx(
        evaluate(model, pixels, samples), rel=0.005
    )
    with torch.no_grad():
        posterior = model.posterior(pixels)
        mean = posterior.mean.movedim(1, -1).flatten(1).numpy()
    assert np.abs(exact.posterior(rows).mean - mean).max() < 0.1
    latents = posterior.sample(torch.Generator().manual_seed(0))[:20].requires_grad_()
    (slope,) = torch.autograd.grad(model.log_likelihood_nats(pixels[:20], latents).sum(), latents)
    z = latents.detach().movedim(1, -1).flatten(1).numpy().astype(np.float64)
    expected = slope.movedim(1, -1).flatten(1).numpy()
    assert np.corrcoef(exact.grad_z(rows[:20], z).ravel(), expected.ravel())[0, 1] > 0.9
    back = restore(read(path))
    assert back.config == model.config
    assert evaluate(back, pixels, 5) == pytest.approx(evaluate(model, pixels, 5), rel=0.005)


def test_stages_begin_as_linear_prediction():
    """An untrained model already gives smooth colours few bits, where it knows neighbours."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    image = torch.stack([50 + 5 * y + 5 * x, 100 - 5 * y + 9 * x, 90 + 7 * y])[None]
    model = SpatialVAE(SpatialConfig(width=16, blocks=1, latent_channels=1, components=1, phases=True))
    for spec, output in [*model.outputs(torch.zeros(1, 1, 4, 4), image)][1:]:
        coded = view(spec, image)
        for channel in range(3):
            means = Mixtures(output, model.config).parts(channel, coded)[0][:, 0] * 256
            inside = (means - coded[:, channel])[:, 1:-1, 1:-1]
            assert inside.abs().max() < 40


def test_stages_of_bits_begin_as_their_neighbours():
    bits = torch.zeros(1, 1, 16, 24)
    bits[..., 12:] = 1
    model = SpatialVAE(SpatialConfig(1, 1, width=16, blocks=1, latent_channels=1, phases=True, levels=2))
    for spec, logits in [*model.outputs(torch.zeros(1, 1, 4, 6), bits)][1:]:
        for place, column in enumerate(range(spec.column, 24, spec.stride)):
            if 4 <= column < 8 or 16 <= column < 20:  # away from the edge, and from the border
                assert ((logits[..., 1:-1, place] > 1) == (column >= 12)).all()


@pytest.mark.parametrize(("bf16", "muon"), [(False, False), (True, False), (False, True)])
def test_a_resumed_run_gives_the_same_weights(tmp_path, bf16, muon):
    """Moments and momenta, in the order of channels-last weights, included."""
    options = TrainingOptions(epochs=2, batch=25, learning_rate=3e-3, ema=0.9, flip=True, bf16=bf16, muon=muon)
    images = blobs(100)
    best = []
    for name, epochs in (("whole", (2,)), ("parts", (1, 2))):
        for count in epochs:
            torch.manual_seed(0)
            model = new_model("convolutional", images.shape[1:], 256, 1, latent=2, hidden=16, blocks=1)
            pixels = to_tensor(model, images)
            state = train(model, pixels[:75], pixels[75:], replace(options, epochs=count), tmp_path / name, print)
        best.append(state.best.state_dict())
    for name, tensor in best[0].items():
        assert torch.equal(tensor, best[1][name]), name


def test_flipped_images_are_trained_on(tmp_path):
    """A model of images that are bright on the left learns bright right sides only from flipped ones."""
    images = np.zeros((100, 8, 8, 1), np.uint8)
    images[:, :, :4] = 200
    rates = []
    for flip in (False, True):
        torch.manual_seed(0)
        model = new_model("convolutional", images.shape[1:], 256, 1, latent=1, hidden=16, blocks=0)
        pixels = to_tensor(model, images)
        options = TrainingOptions(epochs=15, batch=10, learning_rate=3e-3, flip=flip)
        state = train(model, pixels, pixels, options, tmp_path / f"run-{flip}", lambda row: None)
        rates.append(evaluate(state.best, pixels.flip(3)))
    assert rates[1] < 0.8 * rates[0]


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("phases", [False, True])
def test_sampled_images_are_as_likely_as_the_model_says(phases, levels):
    """E[-log p(x|z)] of samples is the model's entropy, here by sampling each mixture a second time."""
    torch.manual_seed(1)
    channels, components = (3, 2) if levels == 256 else (1, 1)
    model = SpatialVAE(SpatialConfig(channels, components, width=8, blocks=1, phases=phases, levels=levels))
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn((1, 2, 2, 2), generator=generator).expand(400, -1, -1, -1)
    with torch.no_grad():
        first, second = (model.sample_pixels(latent, generator) for _ in range(2))
        rates = [model.log_likelihood_nats(pixels, latent) for pixels in (first, second)]
    error = (rates[0].std() + rates[1].std()) / 400**0.5
    assert abs(float(rates[0].mean() - rates[1].mean())) < 4 * float(error)
    assert first.shape == (400, channels, 8, 8) and (first != second).any()


def test_a_channels_mean_follows_the_channels_before_it():
    config = SpatialConfig(components=1)
    output = torch.zeros(1, 9, 1, 1)
    output[0, 3:6] = -5  # narrow
    output[0, 6:] = torch.tensor([1.0, 0.5, 0.25])[:, None, None]  # of 1 on 0, 2 on 0, 2 on 1
    output[0, :3] = 0.5
    values = torch.tensor([200.0, 180.0, 0.0]).view(1, 3, 1, 1)
    means = [float(Mixtures(output, config).parts(channel, values)[0]) * 256 for channel in range(3)]
    assert means == [128, 128 + 72, 128 + 36 + 13]
    parts = Mixtures(output, config).parts(1, values)
    assert [float(Mixtures(output, config).parts(2, values, warmth)[0]) * 256 for warmth in (0, 0.5)] == [128, 152.5]
    sampled = sample_mixture([part.expand(1000, -1, -1, -1) for part in parts], torch.Generator().manual_seed(0))
    assert float(sampled.float().mean()) == pytest.approx(200, abs=1)
    masses = mixture_log_mass([part.expand(256, -1, -1, -1) for part in parts], torch.arange(256.0).view(256, 1, 1))
    assert float(masses.exp().sum()) == pytest.approx(1, abs=1e-4)


def bbc(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done


def test_the_commands_train_fit_and_diagnose_colour(tmp_path):
    np.save(tmp_path / "train.npy", blobs(120))
    np.save(tmp_path / "test.npy", blobs(20))
    model, better = tmp_path / "blobs.safetensors", tmp_path / "better.safetensors"
    options = ["--batch", 50, "--epochs", 2, "--validation", 20, "--test", tmp_path / "test.npy"]
    bbc(
        "train", tmp_path / "train.npy", "-o", model, "--architecture", "staged", "--hidden", 8, "--latent", 1, *options
    )
    done = bbc("fit-encoder", model, tmp_path / "train.npy", "-o", better, "--latents", "aggregate", *options)
    assert "test -ELBO, exact: old " in done.output
    before, after = read(model), read(better)
    assert before.scales[0].stages[0][0].dense.weight.tolist() == after.scales[0].stages[0][0].dense.weight.tolist()
    assert before.encoder[0].dense.weight.tolist() != after.encoder[0].dense.weight.tolist()
    data = ["--train", tmp_path / "train.npy", "--test", tmp_path / "test.npy"]
    found = json.loads(bbc("diagnose", better, *data, "--epochs", 1, "--images", 20, "--json").stdout)
    assert found["test_optimal_per_image"] < found["test"]
    assert "any size" in bbc("models", better).stdout
    blunt, deeper = tmp_path / "blunt.safetensors", tmp_path / "more.safetensors"
    save(blunt, replace(after, info=replace(after.info, least_log_scale=-7)))
    options += ["--crop", 8, "--stage-blocks", 1, "--coarser"]
    done = bbc("train", tmp_path / "train.npy", "-o", deeper, "--start", blunt, *options)
    assert "test -ELBO" in done.output
    contents = read(deeper)
    stages = [stage for scale in contents.scales for stage in scale.stages]
    assert [sum(isinstance(spec, ResidualSpec) for spec in stage) for stage in stages] == [1] * 10
    assert contents.info.downscale == 8
    assert contents.info.least_log_scale == after.info.least_log_scale == -9


def test_stages_see_pixels_unrounded_in_bfloat16():
    layer, x = Seeing(4, 3, 8), torch.rand(2, 7, 6, 6)
    x[:, :4] = 0
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
        assert not torch.equal(layer.convolution(x).relu().float(), found)
    torch.testing.assert_close(found, layer.convolution(x).relu(), atol=1e-5, rtol=1e-5)


def test_distortions_are_about_the_centre_and_as_large_as_asked():
    shades = torch.zeros(200, 1, 21, 21, dtype=torch.uint8)
    shades[:, :, 10, 10], shades[:, :, 10, 20] = 255, 200
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(distorted(shades, 0.0, 256, generator), shades)
    moved = distorted(shades, 0.1, 256, generator)
    assert (moved[:, :, 10, 10] > 200).all()
    mass = moved[:, 0, :, 14:].float()
    rows = (mass.sum(2) * torch.arange(21)).sum(1)[mass.sum((1, 2)) > 0] / mass.sum((1, 2))[mass.sum((1, 2)) > 0]
    assert 0.9 < (rows - 10).abs().max() < 1.3  # 10 pixels from the centre, times the amount
    bits = distorted(shades, 0.1, 2, torch.Generator().manual_seed(1))
    again = distorted(shades, 0.1, 256, torch.Generator().manual_seed(1))
    assert torch.equal(bits, (again >= 128).to(torch.uint8))


def test_distorted_images_are_trained_on(tmp_path):
    """A model of upright bars learns leaning ones, of two levels, only from distorted ones; shades are rounded."""
    upright = np.zeros((100, 16, 8, 1), np.uint8)
    upright[:, :, 3:5] = 255
    shades = torch.from_numpy(np.moveaxis(upright, 3, 1).copy())
    pixels = (shades >= 128).to(torch.uint8)
    leaning = distorted(shades, 0.3, 2, torch.Generator().manual_seed(7))
    rates = []
    for amount in (0.0, 0.3):
        torch.manual_seed(0)
        model = new_model("staged", (16, 8, 1), 2, 1, latent=1, hidden=16, blocks=0)
        options = TrainingOptions(epochs=15, batch=10, learning_rate=3e-3, distort=amount)
        training = shades if amount else pixels
        state = train(model, training, pixels, options, tmp_path / f"run-{amount}", lambda row: None)
        assert state.best_bits_per_dim < 0.2
        rates.append(evaluate(state.best, leaning))
    assert rates[1] < 0.8 * rates[0]


def test_black_and_white_is_distorted_as_shades_however_it_is_stored(tmp_path):
    white = blobs(channels=1)[..., 0] >= 128
    np.save(tmp_path / "bits.npy", white)
    np.save(tmp_path / "shades.npy", white * np.uint8(255))
    options = ["--likelihood", "bernoulli", "--architecture", "staged", "--hidden", 8, "--latent", 1, "--name", "white"]
    options += ["--batch", 50, "--epochs", 1, "--validation", 50, "--distort", 0.2]
    for kind in ("bits", "shades"):
        bbc("train", tmp_path / f"{kind}.npy", "-o", tmp_path / f"{kind}.safetensors", *options)
    bbc("train", tmp_path / "bits.npy", "-o", tmp_path / "plain.safetensors", *options[:-2])
    bits, shades, plain = (
        read_header(tmp_path / f"{kind}.safetensors").identity for kind in ("bits", "shades", "plain")
    )
    assert bits == shades != plain


def test_branches_of_stages_have_sums_of_float32_and_what_sees_pixels_larger_ones(tmp_path):
    model, pixels, _ = trained("staged", tmp_path, stage_blocks=1)
    export(model, pixels[:250], "staged", tmp_path / "staged.safetensors")
    (scale, *_) = load(tmp_path / "staged.safetensors").networks.scales
    for stage in scale.stages:
        seeing, residual, last = stage.layers
        assert [layer.output.nonnegative for layer in stage.layers] == [True, True, False]
        assert {layer._dense.dtype for layer in residual.branch.layers} == {np.dtype(np.float32)}
        assert (seeing._dense.dtype, last.dtype) == (np.float64, np.float64)


def test_ranges_are_those_of_all_training_images(tmp_path):
    """Also where the first hundreds of them are all dark."""
    torch.manual_seed(0)
    model = new_model("staged", (12, 8, 1), 256, 2, latent=2, hidden=16, blocks=1)
    limits = []
    for bright in (0, 50):
        pixels = torch.zeros(400, 1, 12, 8, dtype=torch.uint8)
        pixels[400 - bright :] = 255
        export(model, pixels, "ranges", tmp_path / f"{bright}.safetensors")
        limits.append(read(tmp_path / f"{bright}.safetensors").encoder[0].dense.output.limit)
    assert limits[0] < limits[1]


def test_equalized_networks_are_the_same_function():
    torch.manual_seed(0)
    network = nn.Sequential(Convolution(2, 5, 3), Residual(5), Residual(5), Convolution(5, 4, 1, relu=False))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():  # channels of very different sizes, and one that is silent
        for convolution in (network[0].convolution, network[1].branch[0].convolution):
            convolution.weight *= torch.tensor([1, 0.01, 0.1, 3, 0]).view(-1, 1, 1, 1)
            convolution.bias *= torch.tensor([1, 0.01, 0.1, 3, 0])
    x = torch.randn(20, 2, 6, 6)
    other = copy.deepcopy(network)
    equalize(other, x)
    for _ in range(2):
        torch.testing.assert_close(other(x), network(x))
        x = torch.randn(20, 2, 6, 6)

    def spread(module):
        """How much larger the largest value of one channel is than of another, but silent ones."""
        with torch.no_grad():
            inside = module[1].branch[0](module[0](x)).amax((0, 2, 3))
        return float(inside.max() / inside[inside > 0].min())

    assert spread(other) < 2 * spread(network) ** 0.5


def test_options_are_for_some_models(tmp_path):
    np.save(tmp_path / "blobs.npy", blobs(channels=1)[..., 0])
    result = CliRunner().invoke(
        main,
        ["train", f"{tmp_path}/blobs.npy", "-o", f"{tmp_path}/m.safetensors", "--coarser", "--architecture", "staged"],
    )
    assert result.exit_code == 2 and "--coarser is for models to --start from" in result.output
    assert not list(tmp_path.glob("m.*"))
