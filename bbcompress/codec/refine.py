"""K-step posterior optimisation (paper, Algorithm 2), repeated to the bit by the decoder."""

from enum import IntEnum

import numpy as np

from bbcompress.codec.model import LOG_SCALE_RANGE, Pixels, Posterior, SizedModel
from bbcompress.exact import functions, noise
from bbcompress.exact.functions import Floats


class Method(IntEnum):
    """How steps are taken; a method's number means the same arithmetic forever."""

    ADAM = 1
    """The paper's: Adam on mean and log scale, one reparameterised sample a step."""
    NATURAL = 2
    """Natural-gradient steps of the mean, without noise: more bits for less time."""


MAX_STEPS = 100
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_FIRST_STEP, _SMALLEST_STEP, _LARGEST_STEP = 0.5, 2.0**-6, 1.0
_GROWTH, _SHRINKAGE = 1.25, 0.5


def refine(
    model: SizedModel, pixels: Pixels, posterior: Posterior, first_image: int, steps: int, method: Method
) -> Posterior:
    """Maximise each image's ELBO over its posterior's parameters by `steps` steps (Eq. 20).

    `pixels` (N, subpixels) are images `first_image` .. of their chain: the numbers key the noise of Adam's steps.
    Each step costs one forward and one backward pass of the decoder for the whole batch.
    """
    if steps == 0:
        return posterior
    if method == Method.NATURAL:
        return _natural(model, pixels, posterior, steps)
    return _adam(model, pixels, posterior, first_image, steps)


def _natural(model: SizedModel, pixels: Pixels, posterior: Posterior, steps: int) -> Posterior:
    """Steps of the mean along sigma^2 grad, the natural gradient of a Gaussian's mean (Amari, 1998).

    The gradient is taken at the mean, not at samples: noise would cost more than the third-order terms it adds. Each
    latent has its own step size, that grows until its gradient changes sign and then shrinks (Rprop: Riedmiller and
    Braun, 1993), and no step is longer than one sigma, so that images unlike the training set's do not diverge.
    """
    mean = posterior.mean
    scale = np.minimum(functions.exp(posterior.log_scale), 1.0)  # the prior's; a true posterior is not wider
    step_size = np.full_like(mean, _FIRST_STEP)
    gradient = np.zeros_like(mean)
    for step in range(steps):
        previous, gradient = gradient, model.grad_z(pixels, mean) - mean
        if step > 0:
            step_size = step_size * np.where(previous * gradient < 0.0, _SHRINKAGE, _GROWTH)
            step_size = np.clip(step_size, _SMALLEST_STEP, _LARGEST_STEP)
        mean = mean + scale * np.clip(step_size * (scale * gradient), -1.0, 1.0)
    return Posterior(mean, posterior.log_scale)


def _adam(model: SizedModel, pixels: Pixels, posterior: Posterior, first_image: int, steps: int) -> Posterior:
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
        parameters = parameters - moment1 / (1.0 - beta1) * model.learning_rate / update
        parameters[1] = np.clip(parameters[1], *LOG_SCALE_RANGE)
    return Posterior(parameters[0], parameters[1])


def _negative_elbo_gradient(model: SizedModel, pixels: Pixels, parameters: Floats, normals: Floats) -> Floats:
    """Gradient of -ELBO in nats at (mean, log_scale), (2, N, latent): closed-form KL, one sample of the likelihood."""
    mean, log_scale = parameters
    scale = functions.exp(log_scale)
    deviation = scale * normals
    likelihood = model.grad_z(pixels, mean + deviation)
    return np.stack([mean - likelihood, scale * scale - 1.0 - likelihood * deviation])
