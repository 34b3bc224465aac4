"""The paper's objectives: each against its definition, on models small enough to sum over."""

import itertools
import math

import pytest

torch = pytest.importorskip("torch")

from bbcompress.train.diagnose import evaluate_posterior, optimal_posterior  # noqa: E402
from bbcompress.train.objectives import ELBO, Denoising, HalfAsleep, Sleep, dream, gradients, named  # noqa: E402
from bbcompress.train.vae import (  # noqa: E402
    VAE,
    Posterior,
    VAEConfig,
    logistic_log_mass,
    nats_per_bits_per_dim,
    sample_logistic,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    """A Bernoulli VAE of 2 x 2 images and one latent, with weights that make its pixels depend on the latent."""
    torch.manual_seed(3)
    vae = VAE(VAEConfig(2, 2, levels=2, latent=1, hidden=16))
    with torch.no_grad():
        vae.decoder[-1].weight.mul_(20)
        vae.decoder[0].weight.mul_(3)
    return vae


EVERY_IMAGE = torch.tensor(list(itertools.product((0, 1), repeat=4)), dtype=torch.uint8)


def joint_table(model, points=801):
    """p(z, x) of every image on a grid of z: (points, 16) nats, and the grid (points, 1)."""
    grid = torch.linspace(-6, 6, points)[:, None]
    with torch.no_grad():
        likelihood = torch.stack(
            [model.log_likelihood_nats(image.expand(points, 4), grid) for image in EVERY_IMAGE], dim=1
        )
    prior = -0.5 * grid**2 - 0.5 * math.log(2 * math.pi) + math.log(12 / (points - 1))
    return likelihood + prior, grid


def test_sampled_images_have_the_models_probabilities(model):
    log_joint, _ = joint_table(model)
    expected = log_joint.exp().sum(0)
    assert float(expected.sum()) == pytest.approx(1, abs=1e-3)
    count = 20_000
    _, images = dream(model, torch.zeros((count, 4), dtype=torch.uint8), "prior", seeded())
    places = (images.long() * torch.tensor([8, 4, 2, 1])).sum(1)
    frequencies = torch.bincount(places, minlength=16) / count
    assert torch.allclose(frequencies, expected, atol=4 * 0.5 / math.sqrt(count))


@pytest.mark.parametrize("components", [1, 3])
def test_sampled_pixels_have_the_logistic_mass(components):
    size, count = 5, 40_000
    outputs = (2 if components == 1 else 3) * components
    output = torch.randn((1, outputs * size), generator=seeded(1))
    output[0, size * components : 2 * size * components] -= 3  # scales of some tens of grey levels
    output[0, 0], output[0, size - 1] = -0.02, 1.01  # mass at the end values
    pixels = sample_logistic(output.expand(count, -1), components, seeded())
    for place in range(size):
        counts = torch.bincount(pixels[:, place].long(), minlength=256) / count
        values = torch.arange(256.0)[:, None].expand(256, size)
        mass = logistic_log_mass(output.expand(256, -1), values, components).exp()[:, place]
        assert float((counts.cumsum(0) - mass.cumsum(0)).abs().max()) < 1.63 / math.sqrt(count)  # Kolmogorov, 1 %


def test_the_aggregate_posterior_is_that_of_the_data(model):
    image = torch.tensor([[1, 0, 0, 1]], dtype=torch.uint8)
    latent, _ = dream(model, image.expand(5000, 4), "aggregate", seeded())
    with torch.no_grad():
        posterior = model.posterior(image)
    scale = float(posterior.log_scale.exp())
    assert float(latent.mean()) == pytest.approx(float(posterior.mean), abs=4 * scale / math.sqrt(5000))
    assert float(latent.std()) == pytest.approx(scale, rel=0.05)


def test_elbo_is_the_expectation_over_the_posterior(model):
    log_joint, grid = joint_table(model)
    with torch.no_grad():
        posterior = model.posterior(EVERY_IMAGE)
        log_q = torch.stack([posterior.log_density_nats(z.expand(16, 1)) for z in grid])
        q = log_q.exp() * 12 / (len(grid) - 1)
        expected = -(q * (log_joint - math.log(12 / (len(grid) - 1)) - log_q)).sum(0) / (4 * math.log(2))
        generator = seeded()
        samples = torch.stack([ELBO()(model, EVERY_IMAGE, generator) for _ in range(4000)])
    errors = (samples.mean(0) - expected) / (samples.std(0) / math.sqrt(4000))
    assert float(errors.abs().max()) < 4


def test_sleep_is_the_cross_entropy_of_latents_given_images(model):
    log_joint, grid = joint_table(model)
    with torch.no_grad():
        posterior = model.posterior(EVERY_IMAGE)
        log_q = torch.stack([posterior.log_density_nats(z.expand(16, 1)) for z in grid])
        expected = float(-(log_joint.exp() * log_q).sum()) / (4 * math.log(2))
        losses = Sleep()(model, torch.zeros((50_000, 4), dtype=torch.uint8), seeded())
    assert float(losses.mean()) == pytest.approx(expected, abs=5 * float(losses.std()) / math.sqrt(50_000))


def test_warmth_weighs_the_kl_term(model):
    with torch.no_grad():
        posterior = model.posterior(EVERY_IMAGE)
        kl = posterior.kl_nats() / nats_per_bits_per_dim(EVERY_IMAGE)
        rates = [ELBO(warmth)(model, EVERY_IMAGE, seeded()) for warmth in (0.25, 1.0)]
    torch.testing.assert_close(rates[0] + 0.75 * kl, rates[1])


def test_half_asleep_is_a_mixture_of_data_and_samples(model):
    data = EVERY_IMAGE[[9]].expand(1000, 4)
    with torch.no_grad():
        torch.testing.assert_close(HalfAsleep(alpha=0.0)(model, data, seeded()), ELBO()(model, data, seeded()))
        generator = seeded(4)
        _, dreams = dream(model, data[:300], "prior", generator)
        expected = model.negative_elbo_bits_per_dim(torch.cat([dreams, data[300:]]), generator)
        torch.testing.assert_close(HalfAsleep(alpha=0.3)(model, data, seeded(4)), expected)
        _, dreams = dream(model, data, "aggregate", generator := seeded(5))
        expected = model.negative_elbo_bits_per_dim(dreams, generator)
        torch.testing.assert_close(HalfAsleep(1.0, "aggregate")(model, data, seeded(5)), expected)


def test_denoising_infers_from_noisy_images_what_explains_the_clean_ones(model):
    data = EVERY_IMAGE.repeat(10, 1)
    with torch.no_grad():
        torch.testing.assert_close(
            Denoising(sigma=0.0)(model, data, seeded()),
            model.negative_bound_bits_per_dim(data, model.posterior(data), moved_on(seeded(), 80, 4)),
        )
        generator = seeded(2)
        noise = torch.empty(80, 4).normal_(std=0.7, generator=generator)
        inputs = data.float()
        posterior = model.posterior(torch.cat([inputs[:80] + noise, inputs[80:]]))
        expected = model.negative_bound_bits_per_dim(data, posterior, generator)
        torch.testing.assert_close(Denoising(sigma=0.7)(model, data, seeded(2)), expected)


def moved_on(generator, *shape):
    torch.empty(shape).normal_(generator=generator)
    return generator


def test_noise_is_in_units_of_the_image_range():
    model = VAE(VAEConfig(2, 2, levels=256, latent=1, hidden=4))
    seen = []
    model.posterior = lambda pixels: seen.append(pixels) or Posterior(torch.zeros(200, 1), torch.zeros(200, 1))
    Denoising(sigma=0.5, alpha=1.0)(model, torch.full((200, 4), 100, dtype=torch.uint8), seeded())
    assert float((seen[0] - 100).std()) == pytest.approx(0.5 * 255, rel=0.1)


OBJECTIVES = [ELBO(), Sleep(), HalfAsleep(), HalfAsleep(1.0, "aggregate"), Denoising(0.3)]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_gradients_go_where_they_belong(model, objective):
    data = EVERY_IMAGE[torch.randint(16, (100,), generator=seeded())]
    gradients(model, objective, data, seeded(), encoder_only=True)
    assert all(parameter.grad is None for parameter in model.decoder.parameters())
    alone = [parameter.grad.clone() for parameter in model.encoder.parameters()]
    assert any(gradient.abs().max() > 0 for gradient in alone)
    model.zero_grad()
    gradients(model, objective, data, seeded(), encoder_only=False)
    for gradient, parameter in zip(alone, model.encoder.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    # the decoder always learns the data by the wake phase, whatever the encoder does
    decoder = [parameter.grad.clone() for parameter in model.decoder.parameters()]
    assert any(gradient.abs().max() > 0 for gradient in decoder)
    if objective == ELBO():
        model.zero_grad()
        model.negative_elbo_bits_per_dim(data, seeded()).mean().backward()
        for gradient, parameter in zip(decoder, model.decoder.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad)


def test_each_objective_brings_the_encoder_nearer_to_the_true_posterior(model):
    """A linear-Gaussian-like model with an easy posterior: forward and reverse KL on samples both find it."""
    log_joint, grid = joint_table(model)
    post = (log_joint - log_joint.logsumexp(0)).exp()
    mean = (post * grid).sum(0)

    def error():
        with torch.no_grad():
            return float((log_joint.logsumexp(0).exp() * (model.posterior(EVERY_IMAGE).mean[:, 0] - mean) ** 2).sum())

    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = error()
    for objective in (Sleep(), HalfAsleep(1.0), HalfAsleep(1.0, "aggregate")):
        model.load_state_dict(start)
        optimizer = torch.optim.Adam(model.encoder.parameters(), 3e-3)
        generator = seeded()
        for _ in range(300):
            optimizer.zero_grad()
            gradients(model, objective, EVERY_IMAGE.repeat(8, 1), generator, encoder_only=True)
            optimizer.step()
        assert error() < 0.3 * before, objective


def test_names():
    expected = {
        "elbo": ELBO(),
        "sleep": Sleep("aggregate"),
        "reverse-sleep": HalfAsleep(1.0, "aggregate"),
        "half-asleep": HalfAsleep(0.25, "aggregate"),
        "denoising": Denoising(0.1, 0.25),
    }
    assert {name: named(name, alpha=0.25, sigma=0.1, latents="aggregate") for name in expected} == expected
    with pytest.raises(ValueError, match="no objective"):
        named("awake", 0.5, 0.2, "prior")


def test_the_optimal_posterior_of_an_image_is_found(model):
    """The best of a fine grid of Gaussians, for every image."""
    log_joint, grid = joint_table(model)
    log_joint = log_joint - math.log(12 / (len(grid) - 1))
    means = torch.linspace(-2.5, 2.5, 101)
    scales = torch.linspace(-2.0, 0.5, 51)
    best = torch.full((16,), math.inf)
    for mean, scale in itertools.product(means, scales):
        q = torch.exp(-0.5 * ((grid - mean) / scale.exp()) ** 2 - scale - 0.5 * math.log(2 * math.pi))
        q = q * 12 / (len(grid) - 1)
        entropy = scale + 0.5 * math.log(2 * math.pi * math.e)
        best = torch.minimum(best, -(q * log_joint).sum(0) - entropy)
    posterior = optimal_posterior(model, EVERY_IMAGE, steps=200)
    found = evaluate_posterior(model, EVERY_IMAGE, posterior, samples=3000)
    assert found == pytest.approx(float(best.mean()) / (4 * math.log(2)), abs=0.01)
