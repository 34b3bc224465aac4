"""Figure 6: test bits/dim after every further epoch of the encoder, for VAE, denoising and half-asleep; 3 seeds."""

from experiment import SEEDS, VAE_EPOCHS, Experiment, over_seeds

METHODS = ("VAE", "denoising 0.2", "half-asleep")


def main() -> None:
    experiment = Experiment("figure6", __doc__)
    rows, panels = [], {}
    for kind in experiment.kinds:
        digits = experiment.digits(kind)
        vae = experiment.section4_vae(digits)
        (epoch,) = experiment.snapshots(kind, [experiment.epochs(VAE_EPOCHS[kind])])
        curves = {}
        for objective in METHODS:
            runs = [experiment.fitted(digits, vae, epoch, objective, seed) for seed in SEEDS]
            curves[objective] = over_seeds([run.curve() for run in runs])
            rows += [
                {"kind": kind, "method": objective, "seed": seed, "last": run.curve()[-1]}
                for seed, run in zip(SEEDS, runs, strict=True)
            ]
        panels[f"{kind} MNIST, VAE of {epoch} epochs (paper: 1000), 3 seeds"] = curves
    experiment.plot(panels, "further epoch of the encoder")
    experiment.write(rows, "test -ELBO in bits/dim, one sample an image, after the last epoch")


if __name__ == "__main__":
    main()
