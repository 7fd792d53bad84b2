"""What the experiments on known laws share."""
