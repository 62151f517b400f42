# SPDX-License-Identifier: Apache-2.0
"""Every format of hardware recording, one module each: `parse(raw: bytes) -> list[Document]`, or FormatError.

The parsers are pure: they open nothing, know no time and raise nothing but FormatError, whatever the bytes are.
"""
