"""Figure 6: test bits/dim after every further epoch of the encoder, for VAE, denoising and half-asleep; 3 seeds."""

from experiment import SEEDS, Experiment, over_seeds, run

METHODS = ("VAE", "denoising 0.2", "half-asleep")


def measure(experiment: Experiment) -> None:
    rows: list[dict[str, object]] = []
    panels = {}
    for kind in experiment.kinds:
        images = experiment.images(kind)
        vae = experiment.section4_vae(images)
        epoch = experiment.snapshots(images)[-1]
        curves: dict[str, list[list[float]]] = {method: [] for method in METHODS}
        for seed in SEEDS:
            for method in METHODS:
                curve = experiment.fitted(images, vae, epoch, method, seed).curve()
                curves[method].append(curve)
                experiment.add(rows, {"kind": kind, "method": method, "seed": seed, "last": curve[-1]})
        panels[f"{images.kind.title}, VAE of {epoch} epochs, 3 seeds"] = {
            method: over_seeds(curves[method]) for method in METHODS
        }
    experiment.plot(panels, "further epoch of the encoder")
    experiment.write(rows, "test -ELBO in bits/dim, one sample an image, after the last epoch")


if __name__ == "__main__":
    run(measure, "figure6", __doc__)
