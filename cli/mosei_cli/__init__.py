"""The two command-line programs, `mosei-align` and `affect`."""
