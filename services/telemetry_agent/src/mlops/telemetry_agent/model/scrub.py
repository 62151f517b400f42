# SPDX-License-Identifier: Apache-2.0
"""Scrubbing: takes out of raw readings what names a machine or a person; what parsers read stays as it is.

Serial numbers and hardware ids are found by the key that they stand behind, UUIDs and addresses by their shape, the
names of the user and the host as whole words. Each is replaced by something of the same shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

# The key, then a separator of any of the formats: ` = `, `": "`, `</key><string>`, `>`, ` : `.
_KEYS = (
    rb"serial(?:[ _-]?number)?(?: \(system\))?|IOPlatformSerialNumber|platform_UUID|provisioning_UDID|"
    rb"(?:hardware|board|gpu|product|machine)[ _-]?(?:uuid|udid)|IOPlatformUUID|kern\.uuid|boot_id|"
    rb"hw\.serialnumber|kern\.hostname|hostname|device_name|local_host_name|computer_name|"
    rb"board_part_number|mac_address|ip_address|address_mac"
)
_KEYED = re.compile(
    rb"(\b(?:" + _KEYS + rb")\b\"?(?:</key>\s*<string>|>|\s*[=:]\s*)[<\"]?)([^\"<>\r\n,;}]+)",
    re.IGNORECASE,
)
_SHAPES = (
    (
        re.compile(rb"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"),
        b"00000000-0000-0000-0000-000000000000",
    ),
    (re.compile(rb"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"), b"00:00:00:00:00:00"),
    (re.compile(rb"(/(?:Users|home)/)[^/\s\"<>]+"), rb"\1user"),
)
_NOT_A_VALUE = re.compile(rb"^\s*(?:n/?a|none|not available|0|\[n/a\]|unknown|)\s*$", re.IGNORECASE)
# Names so short, or so common in what machines print, that replacing them would change readings.
_SHORTEST = 4
_COMMON = frozenset(
    {
        b"root",
        b"user",
        b"host",
        b"apple",
        b"localhost",
        b"admin",
        b"intel",
        b"nvidia",
        b"linux",
        b"system",
    }
)


def scrubber(names: Iterable[str]) -> Callable[[bytes], bytes]:
    """Return a function that scrubs raw bytes; *names* are those of the user and the host."""
    words = sorted(
        {
            name.encode()
            for name in names
            if len(name) >= _SHORTEST and name.lower().encode() not in _COMMON
        },
        key=len,
        reverse=True,
    )
    named = [
        re.compile(rb"(?<![A-Za-z0-9])" + re.escape(word) + rb"(?![A-Za-z0-9])", re.IGNORECASE)
        for word in words
    ]

    def scrub(raw: bytes) -> bytes:
        clean = _KEYED.sub(_masked, raw)
        for shape, instead in _SHAPES:
            clean = shape.sub(instead, clean)
        for word in named:
            clean = word.sub(b"scrubbed", clean)
        return clean

    return scrub


def _masked(found: re.Match[bytes]) -> bytes:
    key, value = found.groups()
    return key + (value if _NOT_A_VALUE.match(value) else re.sub(rb"[0-9A-Za-z]", b"0", value))
