# SPDX-License-Identifier: Apache-2.0
"""One site's part of a round: from the common weights, some steps on its own rows. Nothing of the platform is imported."""

from __future__ import annotations

import os
from pathlib import Path

import digits


def main() -> None:
    """Read `$MLOPS_GLOBAL_DIR`, write `$MLOPS_UPDATE_DIR`."""
    site, sites = int(os.environ["MLOPS_SHARD"]), int(os.environ["MLOPS_SHARDS"])
    rows = digits.of_site(site, sites)
    common = digits.read(Path(os.environ["MLOPS_GLOBAL_DIR"]))
    weights = digits.trained(common, rows)
    told = {
        "rows": float(len(rows.digits)),
        "accuracy": digits.accuracy(weights, digits.judged_by()),
    }
    digits.write(Path(os.environ["MLOPS_UPDATE_DIR"]), weights, **told)
    print(f"{os.environ['MLOPS_NODE']}: digits {sorted(set(rows.digits))}, {told}")


if __name__ == "__main__":
    main()
