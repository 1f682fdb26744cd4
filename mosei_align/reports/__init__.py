"""The account for people: one HTML page about a dataset, and a look at one of its segments."""
