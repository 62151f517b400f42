# SPDX-License-Identifier: Apache-2.0
"""What was decided about a window, in sentences: with what it was compared, what was seen, what was allowed for."""

from __future__ import annotations

from mlops.monitoring.model.growth import Growth, State
from mlops.monitoring.model.windows import Summary, Window


def remarks(window: Window, reference: str, growth: Growth | None) -> tuple[str, ...]:
    """Return the sentences; *growth* is how far a second reference is, *reference* names the first one."""
    rows = f"Window {window.index}" if window.index is not None else "The open window"
    second = _second(growth)
    inputs = window.inputs
    said = ("Its inputs are not judged yet.",) if inputs is None else _judged(inputs)
    return (f"{rows}, {window.rows} rows; the reference: {reference}.", *second, *said)


def _second(growth: Growth | None) -> tuple[str, ...]:
    told = None if growth is None else growth.told
    if growth is None or told is None:
        return ()
    use = "; what the first one finds quiet is compared with it, too" if growth.state is State.WHOLE else ""  # fmt: skip
    return (f"A second reference, of quiet windows, {told}{use}.",)


def _judged(inputs: Summary) -> tuple[str, ...]:
    if inputs.unjudged is not None:
        return (f"Its inputs were not judged: {inputs.unjudged}.",)
    said = ["No drift was seen."]
    if inputs.kinds:
        named = f": {', '.join(inputs.columns)}" if inputs.columns else ""
        said = [f"Drift ({', '.join(inputs.kinds)}) in {inputs.share:.0%} of the columns{named}."]
    if inputs.allowed:
        said.append(inputs.allowed)
    if inputs.unexpected:
        said.append(f"Columns that the reference does not have: {', '.join(inputs.unexpected)}.")
    return tuple(said)
