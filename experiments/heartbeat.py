"""The binary heartbeat (paper, §3.1.2, Figure 2).

Its configuration is ``dpm_jax/experiments/heartbeat/config.py``, and ``measure.py`` beside it
measures. ``dpm heartbeat`` is the same command once the package is installed.
"""

from dpm_jax.experiments.heartbeat.problem import PROBLEM
from dpm_jax.experiments.run import main

if __name__ == "__main__":
    main(PROBLEM)
