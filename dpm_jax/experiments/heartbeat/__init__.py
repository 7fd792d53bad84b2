"""The heartbeat: the paper's binary sequences."""
