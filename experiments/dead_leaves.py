"""Dead leaves (paper, §3.2, Figure 4).

Its configuration is ``dpm_jax/experiments/images/dead_leaves.py``, and ``measure.py`` beside it
measures. ``dpm dead-leaves`` is the same command once the package is installed.
"""

from dpm_jax.experiments.images.dead_leaves import PROBLEM
from dpm_jax.experiments.run import main

if __name__ == "__main__":
    main(PROBLEM)
