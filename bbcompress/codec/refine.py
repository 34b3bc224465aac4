"""K-step posterior optimisation (paper, Algorithm 2), repeated to the bit by the decoder."""

from enum import IntEnum

import numpy as np

from bbcompress.codec.model import LOG_SCALE_RANGE, Model, Pixels, Posterior
from bbcompress.exact import functions, noise
from bbcompress.exact.functions import Floats


class Method(IntEnum):
    """How a step is taken; a method's number means the same arithmetic forever."""

    ADAM = 1
    """The paper's: Adam on mean and log scale, one reparameterised sample a step."""


MAX_STEPS = 10_000
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def refine(model: Model, pixels: Pixels, posterior: Posterior, first_image: int, steps: int) -> Posterior:
    """Maximise each image's ELBO over its posterior's mean and log scale by `steps` steps (Eq. 20).

    `pixels` (N, subpixels) are images `first_image` .. of their chain: the numbers key the noise. Each step costs
    one forward and one backward pass of the decoder for the whole batch.
    """
    if steps == 0:
        return posterior
    images = first_image + np.arange(len(pixels))
    parameters = np.stack(posterior)
    moment1, moment2 = np.zeros_like(parameters), np.zeros_like(parameters)
    beta1, beta2 = 1.0, 1.0
    for step in range(steps):
        gradient = _negative_elbo_gradient(model, pixels, parameters, noise.normals(images, step, parameters.shape[2]))
        beta1 *= _BETA1
        beta2 *= _BETA2
        moment1 = moment1 * _BETA1 + gradient * (1.0 - _BETA1)
        moment2 = moment2 * _BETA2 + gradient * gradient * (1.0 - _BETA2)
        update = np.sqrt(moment2 / (1.0 - beta2)) + _EPSILON
        parameters = parameters - moment1 / (1.0 - beta1) * model.info.learning_rate / update
        parameters[1] = np.clip(parameters[1], *LOG_SCALE_RANGE)
    return Posterior(parameters[0], parameters[1])


def _negative_elbo_gradient(model: Model, pixels: Pixels, parameters: Floats, normals: Floats) -> Floats:
    """Gradient of -ELBO in nats at (mean, log_scale), (2, N, latent): closed-form KL, one sample of the likelihood."""
    mean, log_scale = parameters
    scale = functions.exp(log_scale)
    deviation = scale * normals
    likelihood = model.grad_z(pixels, mean + deviation)
    return np.stack([mean - likelihood, scale * scale - 1.0 - likelihood * deviation])
