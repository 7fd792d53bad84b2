"""Data: one file per dataset, read and drawn with NumPy; JAX only draws the batches of training.

Prepared datasets are read by tensorflow-datasets, without TensorFlow.
"""
