"""Laws that are known: how to draw from them, and what no model of them can beat."""
