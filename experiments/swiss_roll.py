"""The swiss roll in two dimensions (paper, §3.1.1, Figure 1).

Its configuration is ``dpm_jax/experiments/swiss_roll/config.py``, and ``measure.py`` beside it
measures. ``dpm swiss-roll`` is the same command once the package is installed.
"""

from dpm_jax.experiments.run import main
from dpm_jax.experiments.swiss_roll.problem import PROBLEM

if __name__ == "__main__":
    main(PROBLEM)
