"""Networks: a `Batch` in, an `Output` out."""
