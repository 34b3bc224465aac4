"""Table 1: test bits/dim of the VAE, denoising encoders and the half-asleep encoder."""

from collections.abc import Iterator

from experiment import Experiment, Images, Run, run

from bbcompress.train.vae import VAEBase

LONG_EPOCHS = 100
"""Of the half-asleep encoder for binary digits, as in the paper."""
METHODS = ("half-asleep", *(f"denoising {sigma}" for sigma in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)))


def measure(experiment: Experiment) -> None:
    rows: list[dict[str, object]] = []
    for kind in experiment.kinds:
        images = experiment.images(kind)
        vae = experiment.section4_vae(images)
        epoch = experiment.snapshots(images)[-1]
        further = experiment.shortened(images.kind.encoder).epochs
        for method, model in encoders(experiment, images, vae, epoch):
            row = {"kind": kind, "VAE epochs": epoch, "further": further, "method": method}
            experiment.add(rows, row | {"test_bits_per_dim": experiment.rate(model, images)})
    experiment.write(rows, "test -ELBO, 10 samples an image (colour: 2), of encoders trained `further` epochs, seed 0")


def encoders(experiment: Experiment, images: Images, vae: Run, epoch: int) -> Iterator[tuple[str, VAEBase]]:
    """Names and models with these encoders, each trained when it is its turn."""
    yield "VAE", vae.at_epoch(epoch)
    yield "VAE, further", experiment.fitted(images, vae, epoch, "VAE").model
    for method in METHODS:
        yield method, experiment.fitted(images, vae, epoch, method).model
    if images.name == "binary":
        longer = experiment.fitted(images, vae, epoch, "half-asleep", epochs=LONG_EPOCHS)
        yield f"half-asleep, {LONG_EPOCHS} epochs", longer.model
    yield "optimal (saw the test set)", experiment.optimal(images, vae, epoch).model


if __name__ == "__main__":
    run(measure, "table1", __doc__)
