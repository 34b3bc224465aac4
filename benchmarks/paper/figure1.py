"""Figure 1: bits/dim of training and test images over the epochs of a VAE on binary MNIST."""

from experiment import Curve, Experiment, run

from bbcompress.train.loop import evaluate


def measure(experiment: Experiment) -> None:
    rows, panels = [], {}
    for kind in experiment.kinds:
        images = experiment.images(kind)
        run = experiment.section4_vae(images)
        options = experiment.shortened(images.kind.vae)
        epochs = range(options.snapshots, options.epochs + 1, options.snapshots)
        points = {
            part: [evaluate(run.at_epoch(epoch), pixels) for epoch in epochs]
            for part, pixels in (("train", images.train), ("test", images.test))
        }
        rows += [
            {"kind": kind, "epoch": epoch, "train_bits_per_dim": train, "test_bits_per_dim": test}
            for epoch, train, test in zip(epochs, points["train"], points["test"], strict=True)
        ]
        panels[f"{images.kind.title}, {len(run.curve())} epochs"] = {
            part: Curve(epochs, values) for part, values in points.items()
        }
    experiment.plot(panels, "epoch", "-ELBO (bits/dim)")
    experiment.write(rows, "-ELBO of all 60,000 training and 10,000 test images, one sample an image")


if __name__ == "__main__":
    run(measure, "figure1", __doc__, ["binary"])
