"""Figure 1: train and test bits/dim of a VAE on binary MNIST over 1,000 epochs."""

from experiment import Experiment

experiment = Experiment("figure1", __doc__)
digits = experiment.digits("binary")
run = experiment.vae(digits, 16, 1000, snapshots=50)
