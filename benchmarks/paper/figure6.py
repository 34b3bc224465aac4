"""Figure 6: test bits/dim after every further epoch of the encoder, for VAE, denoising and half-asleep; 3 seeds."""

from experiment import SEEDS, Experiment, over_seeds

METHODS = ("VAE", "denoising 0.2", "half-asleep")


def main() -> None:
    experiment = Experiment("figure6", __doc__)
    rows, panels = [], {}
    for kind in experiment.kinds:
        images = experiment.images(kind)
        vae = experiment.section4_vae(images)
        epoch = experiment.snapshots(images)[-1]
        curves = {}
        for objective in METHODS:
            runs = [experiment.fitted(images, vae, epoch, objective, seed) for seed in SEEDS]
            curves[objective] = over_seeds([run.curve() for run in runs])
            rows += [
                {"kind": kind, "method": objective, "seed": seed, "last": run.curve()[-1]}
                for seed, run in zip(SEEDS, runs, strict=True)
            ]
        panels[f"{images.kind.title}, VAE of {epoch} epochs, 3 seeds"] = curves
    experiment.plot(panels, "further epoch of the encoder")
    experiment.write(rows, "test -ELBO in bits/dim, one sample an image, after the last epoch")


if __name__ == "__main__":
    main()
