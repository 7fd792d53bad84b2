"""CIFAR-10 (paper, §3.2, Figure 3).

Its configuration is ``dpm_jax/experiments/images/cifar10.py``, and ``measure.py`` beside it
measures. ``dpm cifar10`` is the same command once the package is installed.
"""

from dpm_jax.experiments.images.cifar10 import PROBLEM
from dpm_jax.experiments.run import main

if __name__ == "__main__":
    main(PROBLEM)
