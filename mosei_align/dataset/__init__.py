"""Writing a dataset directory: shards, ledger, manifest."""
