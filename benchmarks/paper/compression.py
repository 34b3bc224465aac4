"""Figures 7 and 8: bits/dim and time of real archives against K, for the baseline and the half-asleep encoder."""

from experiment import Experiment, Run

from bbcompress.train.objectives import HalfAsleep


def models(experiment: Experiment, kind: str) -> tuple[Run, Run]:
    """Section 5: latent 10, 100 epochs; then a half-asleep encoder for the same decoder."""
    digits = experiment.digits(kind)
    baseline = experiment.vae(digits, 10, 100)
    half_asleep = experiment.encoder(
        f"{kind}-10-0-half-asleep",
        baseline.model,
        digits.train,
        digits.test,
        objective=HalfAsleep(),
        epochs=100,
        learning_rate=3e-4,
    )
    return baseline, half_asleep


if __name__ == "__main__":
    experiment = Experiment("compression", __doc__)
    for kind in ("binary", "grey"):
        models(experiment, kind)
