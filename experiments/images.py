"""Your own images: a folder, one image, or an array.

Its configuration is ``dpm_jax/experiments/images/own.py``, and ``measure.py`` beside it
measures. ``dpm images`` is the same command once the package is installed.
"""

from dpm_jax.experiments.images.own import PROBLEM
from dpm_jax.experiments.run import main

if __name__ == "__main__":
    main(PROBLEM)
