from experiment import Experiment
from compression import models
models(Experiment("compression", ""), "binary")
