"""The paper's experiment with CIFAR-10 as a whole: Table 1's row and Figures 5 to 8, of one VAE.

On a GPU 500 epochs, all encoders and the chains are meant to take twelve minutes:

    python benchmarks/paper/cifar.py --device cuda --processes 8 --minutes 12

What was done when the time is up is kept in --work, and the same command goes on from there. On a processor an epoch
takes minutes: there --epochs and --further say how many are enough for the results.
"""

import figure5
import figure6
import figure7
import table1
from experiment import Experiment, run

PARTS = {"table1": table1, "figure5": figure5, "figure6": figure6, "figure7": figure7}


def measure(experiment: Experiment) -> None:
    for name, part in PARTS.items():
        part.measure(experiment.named(name))


if __name__ == "__main__":
    run(measure, "cifar", __doc__, ["colour"])
