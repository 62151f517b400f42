# SPDX-License-Identifier: Apache-2.0
"""The child process that draws the pages of reports: matplotlib costs memory that the service does not keep."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import matplotlib as mpl

from mlops.chassis.sidecar import serve
from mlops.monitoring.adapters.page_charts import Pictures
from mlops.monitoring.adapters.page_html import page
from mlops.monitoring.adapters.report_store import Kept, prune, remove, save

_NICENESS = 10


def write(report: dict[str, Any], folder: str, name: str, zone: str, keep: int) -> dict[str, Any]:
    """Write `<name>.html`, `<name>.json` and the folder `<name>/` of pictures; return what was written.

    The page appears last and at once, so that whoever sees it sees all of it.
    """
    mpl.rcParams["timezone"] = zone
    with TemporaryDirectory() as drafts:
        drawn = Pictures(Path(drafts), report)
        html = page(report, drawn, f"{name}.json", ZoneInfo(zone))
        for picture in drawn.names:
            save(f"{folder}/{name}/{picture}", (Path(drafts) / picture).read_bytes())
    save(f"{folder}/{name}.json", (json.dumps(report, indent=1) + "\n").encode())
    size = save(f"{folder}/{name}.html", html.encode())
    for old in prune(folder, ".html", Kept(keep)):
        remove(f"{folder}/{old}.json")
        remove(f"{folder}/{old}")
    return {"bytes": size, "pictures": drawn.names}


if __name__ == "__main__":
    os.nice(_NICENESS)
    serve({"write": write})
