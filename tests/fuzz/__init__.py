"""What reads bytes that others wrote, given bytes that nobody meant."""
