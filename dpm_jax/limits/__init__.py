"""Limits as code: exact optima, which no model can beat and against which tests are made."""
