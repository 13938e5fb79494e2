"""paseo_nb: a notebook is the cockpit of coding agents."""

__version__ = "0.1.0"
