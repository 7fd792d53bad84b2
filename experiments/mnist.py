"""MNIST (paper, §3.2, Figure App.1 and Table 2).

Its configuration is ``dpm_jax/experiments/images/mnist.py``, and ``measure.py`` beside it
measures. ``dpm mnist`` is the same command once the package is installed.
"""

from dpm_jax.experiments.images.mnist import PROBLEM
from dpm_jax.experiments.run import main

if __name__ == "__main__":
    main(PROBLEM)
