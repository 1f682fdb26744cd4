"""The contract between mosei_align and affect_models: what a dataset directory is.

Nothing here reads a `.csd` file or knows a model; the two libraries meet in these definitions and nowhere else.
"""

from mosei_schemas.errors import ConfigError, DatasetError, InputError, MoseiError, OutputError
from mosei_schemas.names import MODALITIES, PARTS, UNASSIGNED, Reason, State, StepSource
from mosei_schemas.version import FORMAT_NAME, FORMAT_VERSION, __version__

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "MODALITIES",
    "PARTS",
    "UNASSIGNED",
    "ConfigError",
    "DatasetError",
    "InputError",
    "MoseiError",
    "OutputError",
    "Reason",
    "State",
    "StepSource",
    "__version__",
]
