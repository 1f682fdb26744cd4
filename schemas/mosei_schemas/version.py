"""The versions of the package and of the dataset format."""

__version__ = "0.1.0"

FORMAT_NAME = "mosei-align dataset"
FORMAT_VERSION = 1
