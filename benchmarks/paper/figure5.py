"""Figure 5: VAE, half-asleep and optimal inference over the epochs of the VAE."""

from experiment import FIT_EPOCHS, Curve, Experiment

from bbcompress.train.loop import evaluate

EPOCHS = {"binary": (100, 400, 1000), "grey": (50, 150)}
SAMPLES = 10


def main() -> None:
    experiment = Experiment("figure5", __doc__)
    rows, panels = [], {}
    for kind in experiment.kinds:
        digits = experiment.digits(kind)
        run = experiment.section4_vae(digits)
        first = len(rows)
        for epoch in experiment.snapshots(kind, EPOCHS[kind]):
            models = {
                "VAE": run.at_epoch(epoch),
                "half-asleep": experiment.fitted(digits, run, epoch, "half-asleep").model,
                "optimal (saw the test set)": experiment.optimal(digits, run, epoch).model,
            }
            rates = {label: evaluate(model, digits.test, SAMPLES) for label, model in models.items()}
            rows.append({"kind": kind, "epoch": epoch} | rates)
        found = rows[first:]
        panels[f"{kind} MNIST\nencoders {FIT_EPOCHS[kind]} epochs further (paper: 100)"] = {
            label: Curve([row["epoch"] for row in found], [row[label] for row in found]) for label in rates
        }
    experiment.plot(panels, "epoch of the VAE")
    experiment.write(rows, f"test -ELBO in bits/dim, {SAMPLES} samples an image")


if __name__ == "__main__":
    main()
