"""Names under which files can be written where a kept name cannot be: escaped, shortened, and told apart by a hash."""

import hashlib
from collections.abc import Iterator

_WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in (*"123456789", "\u00b9", "\u00b2", "\u00b3")]
)
_WINDOWS_REFUSED = frozenset('<>:"/\\|?*') | frozenset(map(chr, range(32)))
_KEPT_CHARACTERS = 60
_SUFFIX_CHARACTERS = 16


def possible_names(part: str, whole: str, windows: bool) -> Iterator[str]:
    """Names to try for `part` of the name `whole`, the best first: itself, unless Windows has no such name."""
    if not windows or _is_plain_on_windows(part):
        yield part
    # Of other parts with the same beginning, and of other cases, the hash is another.
    mark = "~" + hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, dot, suffix = part.rpartition(".")
    suffix = suffix.rstrip(" ")
    if not stem or not 0 < len(suffix) <= _SUFFIX_CHARACTERS:
        stem, dot, suffix = part, "", ""
    for escape in (_escaped, _ascii):
        yield f"{escape(stem)[:_KEPT_CHARACTERS]}{mark}{dot}{escape(suffix)}"


def _is_plain_on_windows(part: str) -> bool:
    device = part.split(".")[0].rstrip(" ").lower() in _WINDOWS_DEVICES
    return not device and part[-1:] not in (".", " ") and not _WINDOWS_REFUSED & set(part)


def _escaped(text: str) -> str:
    refused = _WINDOWS_REFUSED | {"%"}
    return "".join(f"%{ord(one):02X}" if one in refused or not one.isprintable() else one for one in text)


def _ascii(text: str) -> str:
    return "".join(one if one.isascii() else f"%{ord(one):02X}" for one in _escaped(text))
