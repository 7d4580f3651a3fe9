"""Entropic regularisation at several levels, each with a temperature of its own."""
