"""The stages of a build: plan it, make shards in workers, keep what is finished, put the dataset together."""
