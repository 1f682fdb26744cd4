"""Dataset directory -> packed arrays -> batches."""
