"""Table 1: test bits/dim of the VAE, denoising encoders and the half-asleep encoder."""

from experiment import Experiment

from bbcompress.train.loop import evaluate

LONG_EPOCHS = 100
"""Of the half-asleep encoder for binary digits, as in the paper."""
METHODS = (*(f"denoising {sigma}" for sigma in (0.1, 0.2, 0.4, 0.8, 1.0)), "half-asleep")


def main() -> None:
    experiment = Experiment("table1", __doc__)
    rows = []
    for kind in experiment.kinds:
        images = experiment.images(kind)
        vae = experiment.section4_vae(images)
        epoch = experiment.snapshots(images)[-1]
        models = {"VAE": vae.at_epoch(epoch), "VAE, further": experiment.fitted(images, vae, epoch, "VAE").model}
        models |= {method: experiment.fitted(images, vae, epoch, method).model for method in METHODS}
        if kind == "binary":
            longer = experiment.fitted(images, vae, epoch, "half-asleep", epochs=LONG_EPOCHS)
            models[f"half-asleep, {LONG_EPOCHS} epochs"] = longer.model
        models |= {"optimal (saw the test set)": experiment.optimal(images, vae, epoch).model}
        further = images.kind.encoder.epochs
        rows += [
            {
                "kind": kind,
                "VAE epochs": epoch,
                "further": further,
                "method": label,
                "test_bits_per_dim": evaluate(model, images.test, images.kind.samples),
            }
            for label, model in models.items()
        ]
    experiment.write(rows, "test -ELBO, 10 samples an image (colour: 2), of encoders trained `further` epochs, seed 0")


if __name__ == "__main__":
    main()
