"""What latents bring to a staged model: the same network with none, few and more, trained alike.

    python benchmarks/latents.py [--mnist-train FILE] [--cifar-10-train FILE] [--epochs 4] [--latents 0 1 4]

-ELBO and its KL, in bits/dim of held-out training images, of small networks after a short training by one seed.
Without latents there is nothing to infer: images are decoded coarse to fine from nothing.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import write_results
from torch import Tensor

from bbcompress.cli.training import images_for_training, rounded
from bbcompress.train.architectures import to_tensor
from bbcompress.train.loop import TrainingOptions, evaluate, train
from bbcompress.train.spatial_vae import SpatialConfig, SpatialVAE
from bbcompress.train.vae import Posterior, nats_per_bits_per_dim

IMAGES, HELD_OUT, SAMPLES = 20_000, 2_000, 4
WIDTH, BLOCKS = 24, 1


class WithoutLatents(SpatialVAE):
    """Its posterior is the prior at no cost, and its decoder sees zeros."""

    def posterior(self, pixels: Tensor) -> Posterior:
        zeros = super().posterior(pixels).mean * 0
        return Posterior(zeros, zeros)

    def log_likelihood_nats(self, pixels: Tensor, latent: Tensor, warmth: float = 1.0) -> Tensor:
        return super().log_likelihood_nats(pixels, latent * 0, warmth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist-train", default="mnist", help="file of images; default: downloaded")
    parser.add_argument("--cifar-10-train", default="cifar-10", help="the same")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--latents", type=int, nargs="+", default=[0, 1, 4], help="at each place of a 4 x 4 times coarser grid"
    )
    parser.add_argument("--output", type=Path, help="JSON file to write; default: results/ beside this script")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows: list[dict[str, object]] = []
    for name, source, channels, levels in (
        ("binary", options.mnist_train, 1, 2),
        ("colour", options.cifar_10_train, 3, 256),
    ):
        images = rounded(images_for_training(source, "train", levels), levels)[: IMAGES + HELD_OUT]
        for latents in options.latents:
            rows.append({"set": name, "latents": latents} | trained(images, channels, levels, latents, options.epochs))
            print(rows[-1], flush=True)
    includes = f"-ELBO of {HELD_OUT} held-out images after {options.epochs} epochs of {IMAGES}, width {WIDTH}, seed 0"
    write_results("latents", options.output, rows, includes)


def trained(images: np.ndarray, channels: int, levels: int, latents: int, epochs: int) -> dict[str, object]:
    """Rates of one network."""
    torch.manual_seed(0)
    components = 1 if levels == 2 else 3
    config = SpatialConfig(channels, components, max(1, latents), WIDTH, BLOCKS, True, levels)
    model = SpatialVAE(config) if latents else WithoutLatents(config)
    pixels = to_tensor(model, images)
    fitted, held_out = pixels[:-HELD_OUT], pixels[-HELD_OUT:]
    training = TrainingOptions(
        epochs=epochs, batch=16, learning_rate=3e-3, muon=True, warm_up=1000, schedule="cosine", ema=0.998
    )
    with tempfile.TemporaryDirectory() as folder:
        best = train(model, fitted, held_out, training, Path(folder, "run"), lambda row: None).best
    with torch.no_grad():
        kl = best.posterior(held_out).kl_nats().mean() / nats_per_bits_per_dim(held_out)
    rate = evaluate(best, held_out, SAMPLES)
    return {"negative_elbo_bits_per_dim": rate, "kl_bits_per_dim": float(kl)}


if __name__ == "__main__":
    main()
