"""What every room speaks: rows, outputs, steps, settings, randomness, errors."""
