"""Write the JSON Schemas of the dataset directory's JSON files into `schemas/json/`; `--check` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from mosei_schemas.manifest import BuildRun, Manifest
from mosei_schemas.splits import Normalization, SplitInfo

FOLDER = Path(__file__).parent / "json"
MODELS: dict[str, type[BaseModel]] = {
    "manifest": Manifest,
    "build": BuildRun,
    "split": SplitInfo,
    "normalization": Normalization,
}


def render(model: type[BaseModel]) -> str:
    """The schema of one file, as committed."""
    return json.dumps(model.model_json_schema(), indent=2) + "\n"


def main() -> None:
    """Regenerate, or with `--check` exit with the names of the files that are out of date."""
    stale = []
    for name, model in MODELS.items():
        path = FOLDER / f"{name}.schema.json"
        if "--check" in sys.argv[1:]:
            if not path.is_file() or path.read_text("utf-8") != render(model):
                stale.append(path.name)
        else:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(render(model), "utf-8")
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; run: python schemas/generate_json.py")


if __name__ == "__main__":
    main()
