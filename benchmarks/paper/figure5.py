"""Figure 5: VAE, half-asleep and optimal inference over the epochs of the VAE."""

from typing import Any

from experiment import Curve, Experiment, run


def measure(experiment: Experiment) -> None:
    rows: list[dict[str, Any]] = []
    panels = {}
    for kind in experiment.kinds:
        images = experiment.images(kind)
        run = experiment.section4_vae(images)
        first = len(rows)
        for epoch in experiment.snapshots(images):
            models = {
                "VAE": run.at_epoch(epoch),
                "half-asleep": experiment.fitted(images, run, epoch, "half-asleep").model,
                "optimal (saw the test set)": experiment.optimal(images, run, epoch).model,
            }
            rates = {label: experiment.rate(model, images) for label, model in models.items()}
            experiment.add(rows, {"kind": kind, "epoch": epoch} | rates)
        found = rows[first:]
        further = experiment.shortened(images.kind.encoder).epochs
        panels[f"{images.kind.title}\nencoders {further} epochs further (paper: 100)"] = {
            label: Curve([row["epoch"] for row in found], [row[label] for row in found]) for label in rates
        }
    experiment.plot(panels, "epoch of the VAE")
    experiment.write(rows, "test -ELBO in bits/dim, 10 samples an image (colour: 2)")


if __name__ == "__main__":
    run(measure, "figure5", __doc__)
