"""Figure 4: encoders of an overfitted VAE, trained further by forward sleep or half-asleep with three alphas."""

from experiment import SEEDS, Experiment, over_seeds, run

METHODS = {
    "alpha = 0 (VAE)": "VAE",
    "alpha = 0.5 (half-asleep)": "half-asleep",
    "alpha = 1 (reverse sleep)": "reverse sleep",
    "forward sleep": "sleep",
}


def measure(experiment: Experiment) -> None:
    images = experiment.images("binary")
    vae = experiment.section4_vae(images)
    epoch = experiment.snapshots(images)[-1]
    rows, curves = [], {}
    for label, objective in METHODS.items():
        runs = [experiment.fitted(images, vae, epoch, objective, seed) for seed in SEEDS]
        curves[label] = over_seeds([run.curve() for run in runs])
        rows += [
            {"method": label, "seed": seed, "last": run.curve()[-1], "best epoch": min(run.curve())}
            for seed, run in zip(SEEDS, runs, strict=True)
        ]
    further = images.kind.encoder.epochs
    title = f"{images.kind.title}, VAE of {epoch} epochs, 3 seeds\nencoders {further} epochs further (paper: 100)"
    experiment.plot({title: curves}, "further epoch of the encoder")
    experiment.write(rows, "test -ELBO in bits/dim, one sample an image, after the last and the best epoch")


if __name__ == "__main__":
    run(measure, "figure4", __doc__, ["binary"])
