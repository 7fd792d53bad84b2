"""Forward physics, in jax only: the Gaussian and the binomial diffusion kernel."""
