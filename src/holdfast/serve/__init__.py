"""A stored model in use: predictions and exports."""
