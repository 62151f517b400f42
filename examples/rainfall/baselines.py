# SPDX-License-Identifier: Apache-2.0
"""What never and blindly retrained models reach on the same days, as JSON: the lines the demo's report compares with.

Usage: python baselines.py DAYS.csv FIRST LAST WINDOW, where the days FIRST-3000 to FIRST-1 are the first training data.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd

import weather


def correct(days: pd.DataFrame, trained_until: int, first: int, last: int) -> np.ndarray:
    """Return, for each day of a range, whether a model trained on the 3000 days before *trained_until* is right."""
    known = days.iloc[trained_until - weather.TRAINED_ON : trained_until]
    model = weather.fit(known.drop(columns=weather.LABEL), known[weather.LABEL])
    asked = days.iloc[first:last]
    answer = model.predict(asked.drop(columns=weather.LABEL).to_numpy())
    return answer == asked[weather.LABEL].to_numpy()


def main(path: str, first: int, last: int, window: int) -> None:
    """Print both lines: accuracy per window and over all days."""
    days = pd.read_csv(path)
    starts = range(first, last, window)
    never = correct(days, first, first, last)
    blind = np.concatenate([correct(days, at, at, min(at + window, last)) for at in starts])
    lines = {}
    for name, hits, fits in (("never", never, 0), ("blind", blind, len(starts))):
        windows = [float(hits[at - first : at - first + window].mean()) for at in starts]
        lines[name] = {
            "accuracy_overall": float(hits.mean()),
            "accuracy_last10": float(np.mean(windows[-10:])),
            "windows": windows,
            "retrainings": fits,
        }
    print(json.dumps(lines))


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:5]))
