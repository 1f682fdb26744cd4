"""The versions of the package and of the dataset format."""

from typing import Final

__version__ = "0.1.0"

FORMAT_NAME: Final = "mosei-align dataset"
FORMAT_VERSION: Final = 1
