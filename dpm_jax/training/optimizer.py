"""The optimiser: clipped Adam with a warm-up and a cosine to zero."""

import optax

from dpm_jax.training.config import TrainConfig

CLIP_NORM = 1.0
B2 = 0.99  # β and the read-outs move fast early on: a short memory of squared gradients


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Gradient clipping, then Adam at the config's rate."""
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        warmup_steps=min(config.warmup_steps, config.steps - 1),
        decay_steps=config.steps,
    )
    return optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.adam(rate, b2=B2))
