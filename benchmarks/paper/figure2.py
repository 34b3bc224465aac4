"""Figure 2: the amortised inference gap of a VAE over its epochs, under two kinds of optimal inference.

An encoder trained on the test images (Eq. 9, the paper's way), and a posterior fitted to each of the first 2,000 of
them, which needs no encoder. Both are diagnoses: they have seen the test images.
"""

from experiment import Curve, Experiment, run

from bbcompress.train.diagnose import evaluate_posterior, optimal_posterior
from bbcompress.train.loop import evaluate

IMAGES = 2000
SAMPLES = 10


def measure(experiment: Experiment) -> None:
    rows, panels = [], {}
    for kind in experiment.kinds:
        images = experiment.images(kind)
        run = experiment.section4_vae(images)
        test = images.test[:IMAGES]
        first = len(rows)
        for epoch in experiment.snapshots(images):
            model = run.at_epoch(epoch)
            fitted = experiment.optimal(images, run, epoch).model
            per_image = evaluate_posterior(model, test, optimal_posterior(model, test), SAMPLES)
            rows.append(
                {
                    "kind": kind,
                    "epoch": epoch,
                    "amortised": evaluate(model, images.test, SAMPLES),
                    "optimal encoder": evaluate(fitted, images.test, SAMPLES),
                    f"optimal per image, first {IMAGES}": per_image,
                    f"amortised, first {IMAGES}": evaluate(model, test, SAMPLES),
                }
            )
        found = rows[first:]
        panels[images.kind.title] = {
            label: Curve([row["epoch"] for row in found], [row[label] for row in found]) for label in list(found[0])[2:]
        }
    experiment.plot(panels, "epoch of the VAE")
    experiment.write(rows, f"test -ELBO in bits/dim, {SAMPLES} samples an image; optimal inference saw the test set")


if __name__ == "__main__":
    run(measure, "figure2", __doc__, ["binary"])
