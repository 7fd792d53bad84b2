"""Bark (paper, §3.2, Figure 5).

Its configuration is ``dpm_jax/experiments/images/bark.py``, and ``measure.py`` beside it
measures. ``dpm bark`` is the same command once the package is installed.
"""

from dpm_jax.experiments.images.bark import PROBLEM
from dpm_jax.experiments.run import main

if __name__ == "__main__":
    main(PROBLEM)
