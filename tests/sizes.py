"""What fixed inputs take, in bytes, for every shipped model and method: python tests/sizes.py writes sizes.tsv anew."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from helpers import binary_digits, grey_digits, numbered, photograph, registry, thumbnails

from bbcompress.archive.compress import Options, compress_archive
from bbcompress.archive.encode import encode_planes
from bbcompress.archive.planes import planes_form
from bbcompress.codec.refine import Method
from bbcompress.images import Picture, kept, stored

TABLE = Path(__file__).parent / "sizes.tsv"


def sizes() -> Iterator[tuple[str, int]]:
    """What, and bytes."""
    colour = thumbnails(4)
    grey = [Picture("L", np.ascontiguousarray(one.pixels[..., 1])) for one in colour]
    large = [photograph(40, 20, 64, 72)]
    inputs = {"mnist-binary": binary_digits(20), "digits-binary": binary_digits(20), "photo": large}
    inputs |= {"mnist-grey": grey_digits(12), "digits-grey": grey_digits(12)}
    for path, header in sorted(registry().headers()):
        info = header.info
        pictures = inputs.get(info.name) or (colour if info.channels == 3 else grey)
        ways = [("", 0, Method.NATURAL)]
        if info.name.startswith("mnist"):
            ways += [(", K = 2", 2, Method.NATURAL), (", K = 2 by Adam", 2, Method.ADAM)]
        for way, steps, method in ways:
            options = Options(steps, path, check=False, refine_method=method)
            yield info.name + way, len(compress_archive(numbered(pictures).items(), registry(), options)[0])
    deep = Picture("L16", large[0].pixels[..., 1].astype(np.uint16) << 4)
    for what, pictures in {"colour": colour, "16 bits": [deep], "large": large}.items():
        form = planes_form(pictures[0])
        assert form is not None
        yield f"predictors alone, {what}", len(encode_planes(None, pictures, form, registry().engine).payload.data)
    yield "stored, 16 bits", len(stored.encode(deep))
    yield "kept", len(kept.encode(b"words and words, " * 99))


def table() -> str:
    return "what\tbytes\n" + "".join(f"{what}\t{size}\n" for what, size in sizes())


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
