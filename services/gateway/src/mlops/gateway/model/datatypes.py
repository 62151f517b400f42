# SPDX-License-Identifier: Apache-2.0
"""Datatypes of the Open Inference Protocol: which there are, and how the elements of each lie in bytes."""

from __future__ import annotations

# As `struct` and `array` name them. A bfloat16 has no letter: it is the upper half of an FP32.
CODES = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
TEXT = "BYTES"
BFLOAT = "BF16"
HALVES = ("FP16", BFLOAT)
