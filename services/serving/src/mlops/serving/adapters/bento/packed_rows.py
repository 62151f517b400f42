# SPDX-License-Identifier: Apache-2.0
"""Rows as callers of `predict` give them, to what a model takes; and its answer to one entry for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Answers = Callable[[Any], Any]


def rows_of(rows: Any, spec: dict[str, Any]) -> Any:
    """Return columns by name or one tensor, typed as the signature says: MLflow takes no float64 for a float32."""
    fields = {field["name"]: field for field in spec["inputs"]}
    if isinstance(rows, dict):  # an example kept as columns
        return {name: _column(one, fields.get(name)) for name, one in rows.items()}
    rows = [one.model_dump(by_alias=True) if hasattr(one, "model_dump") else one for one in rows]
    if rows and isinstance(rows[0], dict):
        names = list(fields) or list(rows[0])
        return {name: _column([row.get(name) for row in rows], fields.get(name)) for name in names}
    only = next(iter(fields.values())) if len(fields) == 1 else None
    return _column(rows, only)


def answers_of(answer: Any, spec: dict[str, Any], count: int) -> list[Any]:
    """Return one plain value, list or object for each row."""
    if hasattr(answer, "columns") and hasattr(answer, "to_numpy"):
        answer = {str(name): answer[name].to_numpy() for name in answer.columns}
    if isinstance(answer, dict):
        columns = {str(name): _plain(one) for name, one in answer.items()}
        if len(columns) == 1 and len(spec["outputs"]) <= 1:
            return _counted(next(iter(columns.values())), count)
        checked = {name: _counted(one, count) for name, one in columns.items()}
        return [{name: one[row] for name, one in checked.items()} for row in range(count)]
    return _counted(_plain(answer), count)


def matrix_of(values: Any) -> Any:
    """Return columns side by side, or the tensor as it is: float32, which is what layers compute in."""
    if isinstance(values, dict):
        parts = [np.asarray(one) for one in values.values()]
        values = parts[0] if len(parts) == 1 and parts[0].ndim > 1 else np.column_stack(parts)
    return np.asarray(values, np.float32)


def is_numeric(values: Any) -> bool:
    """Return whether all of it is numbers."""
    arrays = values.values() if isinstance(values, dict) else [values]
    return all(one.dtype.kind in "biuf" for one in arrays)


def frame_of(values: Any, names: Iterable[str]) -> Any:
    """Return a data frame with these names of columns, if the values have none."""
    import pandas as pd  # noqa: PLC0415 - heavy, and not every model wants one

    if isinstance(values, dict):
        return pd.DataFrame(
            {name: list(one) if one.ndim > 1 else one for name, one in values.items()}
        )
    return pd.DataFrame(values, columns=list(names) or None)


def _column(values: Any, field: dict[str, Any] | None) -> Any:
    if field is None:
        return np.asarray(values)
    if field["nullable"] and any(one is None for one in values):
        # Only a float has a value that means "missing".
        return np.asarray(values, object if field["dtype"] in ("O", "?") else float)
    return np.asarray(values, field["dtype"])


def _plain(answer: Any) -> list[Any]:
    if isinstance(answer, list) and answer and not np.isscalar(answer[0]):
        return [one.tolist() if hasattr(one, "tolist") else one for one in answer]
    found = np.asarray(answer)
    return [_finite(one) for one in found.tolist()] if found.ndim == 1 else found.tolist()


def _finite(value: Any) -> Any:
    # JSON has no word for what is no number.
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _counted(answers: Any, count: int) -> list[Any]:
    if not isinstance(answers, list) or len(answers) != count:
        found = len(answers) if isinstance(answers, list) else "one"
        raise ValueError(f"the model gave {found} answers for {count} rows")
    return answers
