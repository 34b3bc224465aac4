"""Files of this project, with their checksums made right: reading ends in pictures, or in an error that has a name."""

import io

from fuzzing import main
from helpers import FILES, blocks_of
from methods import cases, models
from mutate import index_of

from bbcompress.archive import blocks
from bbcompress.archive.arrays import ArrayPixels
from bbcompress.archive.errors import ArchiveError, DamagedArchive
from bbcompress.archive.read import ArchiveReader
from bbcompress.images import DamagedImage, file_bytes

MAX_SEED_BYTES = 4096
MAX_PIXELS = 1 << 16


def seeds() -> dict[str, bytes]:
    """Small files of every method, and the golden ones, most of whose models are not there."""
    golden = {path.name: path.read_bytes() for path in FILES.glob("*.bb")}
    every = golden | {f"{name}.bb": case.data for name, case in cases().items()}
    return {name: data for name, data in every.items() if len(data) <= MAX_SEED_BYTES}


def mended(data: bytes) -> bytes:
    """The file with right checksums and, as far as its blocks can be found, an index that fits."""
    if data[2:3] and data[2] >> 4 != blocks.Form.ARCHIVE:
        return blocks.checked(data[: -blocks.SHORT_CRC_BYTES], blocks.SHORT_CRC_BYTES)
    data = blocks.checked(data[:3]) + data[7:]
    try:
        *inner, index = blocks_of(data)
    except (ValueError, DamagedArchive):
        return data
    packed = [blocks.checked(data[block.offset :][: block.size - blocks.CRC_BYTES]) for block in inner]
    try:
        body = index_of(data[index.offset + 2 :], packed)
    except ValueError:
        body = b""
    block = blocks.pack_block(blocks.BlockType.INDEX, body)
    return data[:7] + b"".join(packed) + block + blocks.pack_trailer(block)


def check(data: bytes) -> None:
    for file in (data, mended(data)):
        for recover in (False, True):
            try:
                archive = ArchiveReader(file, recover)
                pixels = ArrayPixels(archive.arrays, io.BytesIO())
                for item in archive.decode(models(), MAX_PIXELS):
                    array = pixels.put(item.number, item.picture)
                    if array is not None:
                        pixels.write(array, io.BytesIO(), io.BytesIO)
                    file_bytes(item.picture)
            except (ArchiveError, DamagedImage) as error:
                assert str(error).isprintable()


if __name__ == "__main__":
    main(seeds(), check)
