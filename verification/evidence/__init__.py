"""What a measured number is worth: comparisons and their tolerances."""
