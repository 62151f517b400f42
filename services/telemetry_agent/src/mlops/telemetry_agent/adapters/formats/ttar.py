# SPDX-License-Identifier: Apache-2.0
"""Archives of a kernel tree, `tar` and the text form `ttar`, as `{path: text}`; links are followed inside the archive only."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlops.telemetry_agent.adapters.formats.document import FormatError

_LINES = re.compile(r"Lines: (\d{1,7})")
_MOST_BYTES, _MOST_FILES = 4096, 200_000
_DEEPEST = 40
_TTAR_HEAD = b"# Archive created by ttar"


@dataclass(frozen=True)
class Tree:
    """Files by path, and what links point to."""

    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


def is_ttar(raw: bytes) -> bool:
    """Say whether bytes are a ttar archive."""
    return raw.lstrip()[: len(_TTAR_HEAD)] == _TTAR_HEAD


def is_tar(raw: bytes) -> bool:
    """Say whether bytes are a tar archive."""
    return raw[257:262] == b"ustar"


def of_tar(raw: bytes, name: str) -> Tree:
    """Return the small files and the links of a tar archive; raises FormatError for a damaged one."""
    tree = Tree()
    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            for place, member in enumerate(archive):
                if place > _MOST_FILES:
                    raise FormatError(name, f"an archive of more than {_MOST_FILES} files")
                path = _normal(member.name)
                if member.issym():
                    tree.links[path] = member.linkname
                elif member.isfile() and (file := archive.extractfile(member)):
                    tree.files[path] = file.read(_MOST_BYTES).decode(errors="replace").strip()
    except (tarfile.TarError, ValueError, LookupError, OverflowError, OSError, EOFError) as error:
        raise FormatError(name, f"no whole tar archive: {error}"[:200]) from error
    return tree


def of_ttar(text: str, name: str) -> Tree:
    """Return the files and the links of a ttar archive; raises FormatError for a damaged one."""
    tree, path = Tree(), ""
    lines = iter(enumerate(text.split("\n"), 1))
    for place, line in lines:
        if line.startswith("Path: "):
            path = _normal(line.removeprefix("Path: "))
        elif line.startswith("SymlinkTo: "):
            tree.links[path] = line.removeprefix("SymlinkTo: ").strip()
        elif found := _LINES.fullmatch(line):
            body = [one for _, one in _next(lines, int(found[1]))]
            if len(body) < int(found[1]):
                raise FormatError(name, "the archive ends within a file", line=place)
            whole = "\n".join(body).removesuffix("EOF").replace("NULLBYTE", "\0")
            tree.files[path] = whole[:_MOST_BYTES].strip()
        elif line.strip() and not line.startswith(("#", "Mode: ", "Directory: ")):
            raise FormatError(name, "no line of a ttar archive", line=place)
    return tree


def below(tree: Tree, link: str) -> Iterator[tuple[str, str]]:
    """Yield the files below what a link points to, under the link's own path."""
    base = resolved(tree.links, link)
    for path, text in tree.files.items():
        if path.startswith(f"{base}/"):
            yield link + path[len(base) :], text


def resolved(links: Mapping[str, str], path: str) -> str:
    """Return where a path leads when every link in it is followed; loops end where they are."""
    for _ in range(_DEEPEST):
        parts = path.split("/")
        heads = ("/".join(parts[:end]) for end in range(1, len(parts) + 1))
        head = next((head for head in heads if head in links), None)
        if head is None:
            return path
        target = links[head]
        start = "" if target.startswith("/") else head.rpartition("/")[0]
        path = _normal(f"{start}/{target}{path[len(head) :]}")
    return path


def _next(lines: Iterator[tuple[int, str]], count: int) -> Iterator[tuple[int, str]]:
    for _ in range(count):
        found = next(lines, None)
        if found is None:
            return
        yield found


def _normal(path: str) -> str:
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            kept = kept[:-1]
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)
