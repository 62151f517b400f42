# SPDX-License-Identifier: Apache-2.0
"""`data`: every dataset of `[data].datasets` is versioned as it is now; the run is made and says which versions it reads."""

from __future__ import annotations

from mlops.client.steps.errors import PermanentError
from mlops.client.steps.work import DATASET_TAG, Work, say


def perform(work: Work) -> None:
    """Version the datasets, then make the run with their names."""
    tags = {}
    for name, path in sorted(work.project.settings.data.datasets.items()):
        if not (work.project.folder / path).exists():
            raise PermanentError(
                f"dataset {name!r}: there is no {path!r} in {work.project.folder}; "
                "put the file there or correct [data].datasets in mlops.toml"
            )
        version = work.door.add_data(name, path)
        say(f"dataset {name} is version {version.version} ({version.hash})")
        tags[f"{DATASET_TAG}{name}"] = f"{version.version}@{version.hash}"
    run = work.run(tags)
    missing = {name: value for name, value in tags.items() if run.tags.get(name) != value}
    work.tracking.tag(run.run_id, missing)
    say(f"run {run.run_id}")
