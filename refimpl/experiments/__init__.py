"""Measured experiments: the only part of `refimpl` that knows files and figures.

Problems and measurements are functions of their arguments; records are JSON lines;
figures are drawn from the records alone.
"""
