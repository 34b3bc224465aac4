"""Write the golden files of this folder: python tests/files/make.py (from a checkout with the test requirements).

Files that a release has shipped are never made anew: they must decode forever. This writes those that are missing.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
DIGESTS = HERE / "digests.json"
sys.path.insert(0, str(HERE.parent))

from helpers import archive_of, binary_digits, grey_digits, odd_pictures, registry  # noqa: E402

from bbcompress.archive import blocks  # noqa: E402
from bbcompress.archive.compress import Options, compress_archive, compress_single  # noqa: E402
from bbcompress.archive.payload import Stored, pictures_digest  # noqa: E402
from bbcompress.archive.read import Archive  # noqa: E402
from bbcompress.archive.single import pack_single  # noqa: E402
from bbcompress.images import stored  # noqa: E402


def contents() -> dict[str, bytes]:
    """Every file by name."""
    binary, grey, odd = binary_digits(6), grey_digits(6), odd_pictures()
    mixed = [*binary[:3], *grey[:2], next(iter(odd.values()))]
    named = [(f"{number:03d}.png", picture) for number, picture in enumerate(mixed)]
    single = compress_single(binary[0], registry(), Options())[0]
    archive = archive_of(dict(named))
    files = {
        "good-single-binary.bb": single,
        "good-single-grey.bb": compress_single(grey[0], registry(), Options())[0],
        "good-archive.bb": archive,
        "good-archive-refined.bb": compress_archive(named, registry(), Options(refine_steps=3))[0],
    }
    for name, picture in odd.items():
        payload = Stored(stored.encode(picture))
        files[f"good-stored-{Path(name).stem}.bb"] = pack_single(payload, pictures_digest([picture]))
    flip = bytearray(single)
    flip[10] ^= 16
    later = bytearray(single[:-4])
    later[2] += 1
    method = bytearray(single[:-4])
    method[3] |= 15
    files |= {
        "bad-empty.bb": b"",
        "bad-not-an-archive.bb": b"\x89PNG\r\n\x1a\n and so on, of no use",
        "bad-flipped-bit.bb": bytes(flip),
        "bad-cut-short.bb": single[:-1],
        "bad-archive-cut-short.bb": archive[: len(archive) // 2],
        "bad-trailing-byte.bb": archive + b"\0",
        "unsupported-version.bb": blocks.checked(bytes(later)),
        "unsupported-method.bb": blocks.checked(bytes(method)),
    }
    return files


if __name__ == "__main__":
    digests = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    for name, data in contents().items():
        path = HERE / name
        if path.exists():
            continue
        path.write_bytes(data)
        if name.startswith("good-"):
            items = sorted(Archive(data).decode(registry()), key=lambda item: item.number)
            digests[name] = pictures_digest([item.picture for item in items]).hex()
        print(f"{name}: {len(data)} bytes")
    DIGESTS.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")
