# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.contracts.generate`: write every generated file, or with `--check` say which are stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mlops.contracts.generate.files import generated, stale, write


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 1 when `--check` found a stale file."""
    parser = argparse.ArgumentParser(prog="python -m mlops.contracts.generate", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: here)")
    parser.add_argument("--check", action="store_true", help="write nothing, list what is stale")
    chosen = parser.parse_args(arguments)
    if not (chosen.root / "libs/contracts/pyproject.toml").exists():
        parser.error(f"{chosen.root.resolve()} is not the repository; run it there or give --root")
    if not chosen.check:
        for path in write(chosen.root):
            sys.stdout.write(f"wrote {path}\n")
        return 0
    found = stale(chosen.root, generated(chosen.root))
    for path in found:
        sys.stdout.write(f"stale: {path} (run `just contracts`)\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
