"""Figure 4: encoders of an overfitted VAE, trained further by forward sleep or half-asleep with three alphas."""

from experiment import FIT_EPOCHS, SEEDS, VAE_EPOCHS, Experiment, over_seeds

METHODS = {
    "alpha = 0 (VAE)": "VAE",
    "alpha = 0.5 (half-asleep)": "half-asleep",
    "alpha = 1 (reverse sleep)": "reverse sleep",
    "forward sleep": "sleep",
}


def main() -> None:
    experiment = Experiment("figure4", __doc__, ["binary"])
    digits = experiment.digits("binary")
    vae = experiment.section4_vae(digits)
    (epoch,) = experiment.snapshots("binary", [experiment.epochs(VAE_EPOCHS["binary"])])
    rows, curves = [], {}
    for label, objective in METHODS.items():
        runs = [experiment.fitted(digits, vae, epoch, objective, seed) for seed in SEEDS]
        curves[label] = over_seeds([run.curve() for run in runs])
        rows += [
            {"method": label, "seed": seed, "last": run.curve()[-1], "best epoch": min(run.curve())}
            for seed, run in zip(SEEDS, runs, strict=True)
        ]
    title = f"binary MNIST, VAE of {epoch} epochs, 3 seeds\nencoders {FIT_EPOCHS['binary']} epochs further (paper: 100)"
    experiment.plot({title: curves}, "further epoch of the encoder")
    experiment.write(rows, "test -ELBO in bits/dim, one sample an image, after the last and the best epoch")


if __name__ == "__main__":
    main()
