"""The swiss roll: the paper's points in the plane."""
