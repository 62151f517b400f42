# SPDX-License-Identifier: Apache-2.0
"""`rocm-smi --json`: a mapping of cards, each with texts under long names that change between releases and cards.

Names are matched by what they are about: power is the current or average power of a package or socket, never the most that is
allowed; the temperature is the hottest of edge, junction and hot spot, for the junction is what the card acts on. Heat is
told where the metrics table was asked for (`--showmetrics`): bits 32 to 47 of `indep_throttle_status` are temperatures, 0 to
7 are power (SMU_THROTTLER_* of the kernel's amdgpu driver). Serial numbers and unique ids are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlops.telemetry_agent.adapters.formats.document import (
    Document,
    FormatError,
    json_of,
    mapping,
    number,
    text_of,
    whole,
    word,
)
from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.reading import (
    LEVEL,
    UNSUPPORTED,
    FanReading,
    GpuReading,
    Partial,
    Value,
)
from mlops.telemetry_agent.model.sample import joined_reasons

NAME = "rocm_smi"

_CARD = re.compile(r"card(\d{1,4})")
_MHZ = re.compile(r"\(?(\d{1,6}(?:\.\d{1,3})?) ?mhz\)?", re.IGNORECASE)
_POWER = re.compile(r"(?:current|average).*power.*\(w\)", re.IGNORECASE)
_TEMP = re.compile(r"temperature \(sensor (?:edge|junction|hotspot)\) \(c\)", re.IGNORECASE)
_NAMES = ("device name", "card series", "card model")
_THROTTLE = re.compile(r"indep_?throttle_status", re.IGNORECASE)
_THERMAL_BITS, _POWER_BITS = 0xFFFF << 32, 0xFF
_ALL_BITS = 2**64 - 1


def parse(raw: bytes) -> list[Document]:
    """Return the one document; raises FormatError where there is no card. Warnings before the JSON are skipped."""
    text = text_of(raw)
    begin = text.find("{")
    found = mapping(json_of(text[max(0, begin) :], NAME))
    if not looks(found):
        raise FormatError(NAME, "it has no card0, card1 …")
    cards = {
        int(mark[1]): _lower(card) for key, card in found.items() if (mark := _CARD.fullmatch(key))
    }
    gpus = tuple(_gpu(place, cards[place]) for place in sorted(cards))
    values: dict[str, Value] = {}
    missing: dict[str, str] = {}
    if gpus[0].name:
        values["chip.gpu_name"] = gpus[0].name
    temps = [gpu.temp_c for gpu in gpus if gpu.temp_c is not None]
    watts = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
    values |= {"thermal.gpu_temp_c": max(temps)} if temps else {}
    values |= {"power.gpu_w": sum(watts)} if watts else {}
    missing |= {
        name: UNSUPPORTED for name in ("thermal.gpu_temp_c", "power.gpu_w") if name not in values
    }
    _heat(cards, values, missing)
    fans = tuple(fan for place in sorted(cards) if (fan := _fan(place, cards[place])))
    return [Document(Partial(NAME, values, missing, gpus, fans=fans))]


def looks(found: Mapping[str, Any]) -> bool:
    """Say whether an object has cards."""
    return any(_CARD.fullmatch(key) and isinstance(card, dict) for key, card in found.items())


def _lower(card: object) -> dict[str, Any]:
    return {key.lower().strip(): value for key, value in mapping(card).items()}


def _gpu(place: int, card: Mapping[str, Any]) -> GpuReading:
    temps = [
        temp
        for key, text in card.items()
        if _TEMP.fullmatch(key) and (temp := number(text)) is not None
    ]
    watts = [
        power
        for key, text in card.items()
        if _POWER.match(key) and (power := number(text)) is not None
    ]
    busy = number(card.get("gpu use (%)"))
    names = (word(card.get(key)) for key in _NAMES)
    return GpuReading(
        f"gpu{place}",
        busy_ratio=None if busy is None else busy / 100,
        memory_used_bytes=whole(card.get("vram total used memory (b)")),
        memory_total_bytes=whole(card.get("vram total memory (b)")),
        temp_c=max(temps, default=None),
        power_w=watts[0] if watts else None,
        event_reasons=_reasons(card),
        name=next(
            (name for name in names if name and name != "N/A" and not name.startswith("0x")), ""
        ),
        freq_hz=_clock(card),
    )


def _clock(card: Mapping[str, Any]) -> float | None:
    for key in ("sclk clock speed:", "sclk clock speed"):
        found = _MHZ.search(word(card.get(key)) or "")
        if found:
            return float(found[1]) * 1e6
    return None


def _fan(place: int, card: Mapping[str, Any]) -> FanReading | None:
    rpm = number(card.get("fan rpm", card.get("fan speed (rpm)")))
    return None if rpm is None else FanReading(f"gpu{place}", rpm)


def _bits(card: Mapping[str, Any]) -> int | None:
    told = (whole(value) for key, value in card.items() if _THROTTLE.match(key))
    # All ones is how the table says that it does not know.
    return next((bits for bits in told if bits is not None and 0 <= bits < _ALL_BITS // 2), None)


def _reasons(card: Mapping[str, Any]) -> tuple[str, ...]:
    bits = _bits(card) or 0
    named = (("thermal", _THERMAL_BITS), ("power_cap", _POWER_BITS))
    return tuple(name for name, mask in named if bits & mask)


def _heat(
    cards: Mapping[int, Mapping[str, Any]], values: dict[str, Value], missing: dict[str, str]
) -> None:
    told = [bits for card in cards.values() if (bits := _bits(card)) is not None]
    if not told:
        missing[LEVEL] = UNSUPPORTED
        return
    hot = any(bits & _THERMAL_BITS for bits in told)
    values[LEVEL] = ladder.THROTTLED if hot else ladder.NOMINAL
    values["thermal.native"] = "thermal throttle status" if hot else "no thermal throttle status"
    if reasons := [reason for card in cards.values() for reason in _reasons(card)]:
        values["thermal.reasons"] = joined_reasons(reasons)
