"""Truths derived from the mathematics alone, by routes no implementation takes."""
