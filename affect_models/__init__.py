"""Dataset directory -> models, metrics, reports."""
