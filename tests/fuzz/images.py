"""Files of pictures: each is kept, or a picture of which a file is made that reads as the same picture."""

import struct
import zlib

from fuzzing import main
from hypothesis import HealthCheck, Phase, given, settings
from independent import png_facts
from made_files import any_file

from bbcompress.images import KeptFile, file_bytes, read
from bbcompress.images.png import SIGNATURE

MAX_PIXELS = 1 << 16
SEEDS = 300


def seeds() -> dict[str, bytes]:
    """Files of all formats that are read, and some others."""
    found: list[bytes] = []

    @settings(
        max_examples=SEEDS,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(any_file)
    def collect(data: bytes) -> None:
        found.append(data)

    collect()
    return {f"{number:03d}": data for number, data in enumerate(found)}


def mended(data: bytes) -> bytes:
    """A PNG file with right checksums of its chunks."""
    if not data.startswith(SIGNATURE):
        return data
    out, position = SIGNATURE, len(SIGNATURE)
    while position + 12 <= len(data):
        length = struct.unpack_from(">I", data, position)[0]
        body = data[position + 4 :][: 4 + length]
        out += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return out


def check(data: bytes) -> None:
    data = mended(data)
    item = read(data, "name", max_pixels=MAX_PIXELS)
    if isinstance(item, KeptFile):
        assert item.data == data and item.reason.isprintable()
        assert "report" not in item.reason, item.reason
        return
    made = file_bytes(item)
    again = read(made, "name", max_pixels=MAX_PIXELS)
    assert not isinstance(again, KeptFile), again.reason
    assert again.same_as(item) and again.metadata == item.metadata
    if data.startswith(SIGNATURE):
        assert png_facts(made) == png_facts(data)
    stripped = read(data, "name", strip=True, max_pixels=MAX_PIXELS)
    assert stripped.same_as(item)
    file_bytes(stripped)


if __name__ == "__main__":
    main(seeds(), check)
