"""Figure 5: VAE, half-asleep and optimal inference over the epochs of the VAE."""

from experiment import Curve, Experiment

from bbcompress.train.loop import evaluate


def main() -> None:
    experiment = Experiment("figure5", __doc__)
    rows, panels = [], {}
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
            rates = {label: evaluate(model, images.test, images.kind.samples) for label, model in models.items()}
            rows.append({"kind": kind, "epoch": epoch} | rates)
        found = rows[first:]
        further = images.kind.encoder.epochs
        panels[f"{images.kind.title}\nencoders {further} epochs further (paper: 100)"] = {
            label: Curve([row["epoch"] for row in found], [row[label] for row in found]) for label in rates
        }
    experiment.plot(panels, "epoch of the VAE")
    experiment.write(rows, "test -ELBO in bits/dim, 10 samples an image (colour: 2)")


if __name__ == "__main__":
    main()
