"""Write the golden files of this folder: python tests/files/make.py (from a checkout with the test requirements).

Files that a release has shipped are never made anew: they must decode forever. This writes those that are missing.
Before the first release, when a model has changed: python tests/files/make.py --anew. catalogue.tsv is written by hand.
"""

import hashlib
import io
import json
import sys
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

FOLDER = Path(__file__).parent
EXPECTED = FOLDER / "expected.json"
sys.path.insert(0, str(FOLDER.parent))

from helpers import (  # noqa: E402
    archive_of,
    binary_digits,
    black_and_white_digits,
    blocks_of,
    facts,
    flipped,
    grey_digits,
    hand_made,
    odd_pictures,
    paper_models,
    photograph,
    registry,
    rgb,
    single_file,
    thumbnails,
)
from made_arrays import binary_batch, gzipped, npy_bytes, npz_bytes  # noqa: E402
from made_models import make_corrector  # noqa: E402

from bbcompress.archive.arrays import array_inputs  # noqa: E402
from bbcompress.archive.attributes import Tree  # noqa: E402
from bbcompress.archive.compress import Options, compress_archive, compress_single, here, write_archive  # noqa: E402
from bbcompress.archive.encode import encode, encode_planes  # noqa: E402
from bbcompress.archive.forms import PixelForm  # noqa: E402
from bbcompress.archive.jobs import Input, input_of  # noqa: E402
from bbcompress.archive.limits import MAX_IMAGES  # noqa: E402
from bbcompress.archive.names import pack_names  # noqa: E402
from bbcompress.archive.payload import BitsBack, Lattice, Stored, Tiles, pictures_digest  # noqa: E402
from bbcompress.archive.planes import planes_form  # noqa: E402
from bbcompress.archive.read import ArchiveReader  # noqa: E402
from bbcompress.archive.segment import Segment, pack_segment  # noqa: E402
from bbcompress.archive.single import pack_single  # noqa: E402
from bbcompress.codec.corrector_file import CorrectorModel  # noqa: E402
from bbcompress.codec.model_file import load, save  # noqa: E402
from bbcompress.codec.refine import Method  # noqa: E402
from bbcompress.images import Item, KeptFile, Picture, file_bytes, read, stored  # noqa: E402
from bbcompress.images.arrays.files import take_apart  # noqa: E402
from bbcompress.images.arrays.spans import ArrayFile, Span  # noqa: E402
from bbcompress.images.metadata import NO_METADATA, Format, Metadata  # noqa: E402
from bbcompress.images.place import UNKNOWN, Attributes  # noqa: E402
from bbcompress.varint import write_varint  # noqa: E402

CHUNKS = ((b"gAMA", b"\0\0\xb1\x8f"), (b"tEXt", b"Title\0Gr\xfcn"), (b"iTXt", b"Title\0\0\0de\0\0Gr\xc3\xbcn"))


def described(picture: Picture) -> Picture:
    """A picture with the metadata of a PNG file that has more chunks."""
    data = file_bytes(picture)
    chunks = [
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in CHUNKS
    ]
    found = read(data[:33] + b"".join(chunks) + data[33:])
    assert isinstance(found, Picture)
    return replace(found, file=None)


def single(picture: Item) -> bytes:
    return compress_single(picture, paper_models(), Options())[0]


def in_colour(pictures: list[Picture], form: PixelForm, steps: int = 0, method: Method = Method.NATURAL) -> Tiles:
    """Coded by the model for colour, though some would be shorter when stored."""
    payload = encode(registry().load(registry().path_named("cifar10")), pictures, form, steps, method).payload
    assert isinstance(payload, Tiles)
    return payload


def colour_archive(
    pictures: dict[str, Picture], form: PixelForm, steps: int = 0, method: Method = Method.NATURAL
) -> bytes:
    every = list(pictures.values())
    segment = Segment(np.arange(len(every)), in_colour(every, form, steps, method), pictures_digest(every))
    return hand_made([pack_segment(segment)], [len(every)], pack_names(list(pictures)))


def colour_single(picture: Picture, form: PixelForm) -> bytes:
    return pack_single(in_colour([picture], form), pictures_digest([picture]))


def wrong_bottom(picture: Picture) -> Tiles:
    """A chain that decodes to the picture, though its stack began with another's digest."""
    with patch("bbcompress.archive.encode.pictures_digest", lambda _: bytes(32)):
        return in_colour([picture], PixelForm.RGB)


def coarse_to_fine(pictures: list[Picture], corrector: str = "") -> Lattice:
    """Coded by predictors, whatever would be shorter, that networks of this folder correct somewhat where named."""
    form = planes_form(pictures[0])
    assert form is not None
    model = load(FOLDER / f"{corrector}.safetensors") if corrector else None
    assert model is None or isinstance(model, CorrectorModel)
    with patch("bbcompress.codec.lattice_encoder.with_gain", lambda own, *_: own._replace(gain=3, wider=1)):
        payload = encode_planes(model, pictures, form, registry().engine).payload
    assert isinstance(payload, Lattice)
    return payload


def lattice_archive(*segments: list[Picture], corrector: str = "") -> tuple[bytes, dict[str, Item]]:
    bodies, every = [], list[Picture]()
    for pictures in segments:
        numbers = np.arange(len(every), len(every) + len(pictures))
        payload = coarse_to_fine(pictures, corrector)
        bodies.append(pack_segment(Segment(numbers, payload, pictures_digest(pictures))))
        every += pictures
    names = [f"{number}.png" for number in range(len(every))]
    return hand_made(bodies, list(map(len, segments)), pack_names(names)), dict(zip(names, every, strict=True))


def lattice_single(picture: Picture, corrector: str = "") -> tuple[bytes, dict[str, Item]]:
    return pack_single(coarse_to_fine([picture], corrector), pictures_digest([picture])), {"": picture}


def in_grey(picture: Picture, shift: int = 0) -> Picture:
    """Its green, in 8 bits or, shifted to the left, 16."""
    green = np.ascontiguousarray(picture.pixels[..., 1])
    return Picture("L16", green.astype(np.uint16) << shift) if shift else Picture("L", green)


def with_alpha(picture: Picture) -> Picture:
    """A colour picture that fades to the right."""
    fading = np.broadcast_to(np.arange(picture.width, dtype=np.uint8) * 5, (picture.height, picture.width))
    return Picture("RGBA", np.dstack([picture.pixels, fading]))


def stored_segment(number: int, picture: Picture) -> bytes:
    return pack_segment(Segment(np.array([number]), Stored(stored.encode(picture)), pictures_digest([picture])))


def good() -> dict[str, tuple[bytes, dict[str, Item]]]:
    """Files by name, with the pictures in them; those of a single file have no name, and are here under ''."""
    odd = odd_pictures()
    singles = {
        "single-binary": binary_digits(1)[0],
        "single-grey": grey_digits(1)[0],
        "single-black-and-white": black_and_white_digits(1, 4)[0],
    }
    files = {name: (single(picture), {"": picture}) for name, picture in singles.items()}
    for name, picture in odd.items():
        data = pack_single(Stored(stored.encode(picture)), pictures_digest([picture]), picture.metadata)
        files[f"stored-{Path(name).stem}"] = data, {"": picture}
    several = [*binary_digits(3), *grey_digits(2), odd["one-pixel.png"]]
    some = {f"{number:03d}.png": picture for number, picture in enumerate(several)}
    many = {f"{number}.png": picture for number, picture in enumerate(binary_digits(20))}
    grey = {f"{number}.png": picture for number, picture in enumerate(grey_digits(8))}
    folders = {
        "a/7.png": binary_digits(1, 7)[0],
        "a/palette.png": odd["palette.png"],
        "a/8.png": binary_digits(1, 8)[0],
        "b/rgb.png": odd["rgb.png"],
        "b/grün.png": grey_digits(1, 9)[0],
        "sixteen.png": odd["sixteen.png"],
    }
    files["archive"] = archive_of(some), some
    files["archive-refined"] = archive_of(some, 3), some
    files["archive-refined-adam"] = archive_of(some, 3, Method.ADAM), some
    files["archive-lanes"] = archive_of(many), many
    files["archive-lanes-refined"] = archive_of(many, 3), many
    files["archive-grey-refined"] = archive_of(grey, 2), grey
    files["archive-grey-refined-adam"] = archive_of(grey, 2, Method.ADAM), grey
    files["archive-folders"] = archive_of(folders), folders
    about = {name: described(picture) for name, picture in folders.items() if name != "a/8.png"}
    files["archive-metadata"] = archive_of(folders | about), folders | about
    files["single-metadata"] = single(about["a/7.png"]), {"": about["a/7.png"]}
    files["stored-metadata"] = single(about["b/rgb.png"]), {"": about["b/rgb.png"]}
    colour = {f"{number}.png": picture for number, picture in enumerate(thumbnails(6))}
    edges = photograph(3, 5, 140, 41)
    colour |= {"edges.png": edges, "one.png": photograph(9, 9, 1, 1)}
    seen = {f"{number}.png": with_alpha(picture) for number, picture in enumerate(thumbnails(6))}
    seen |= {"small.png": with_alpha(photograph(8, 8, 30, 20))}
    files["archive-colour"] = colour_archive(colour, PixelForm.RGB), colour
    files["archive-colour-refined"] = colour_archive(colour, PixelForm.RGB, 2), colour
    files["archive-colour-refined-adam"] = colour_archive(colour, PixelForm.RGB, 2, Method.ADAM), colour
    files["archive-colour-alpha"] = colour_archive(seen, PixelForm.RGB_ALPHA, 1), seen
    between = {"0.png": colour["0.png"], "large.png": photograph(3, 5, 160, 150), "1.png": colour["1.png"]}
    files["archive-colour-shifts"] = colour_archive(between, PixelForm.RGB, 1), between
    files["single-colour"] = colour_single(edges, PixelForm.RGB), {"": edges}
    files["single-colour-tile"] = colour_single(colour["0.png"], PixelForm.RGB), {"": colour["0.png"]}
    files["single-colour-alpha"] = colour_single(seen["small.png"], PixelForm.RGB_ALPHA), {"": seen["small.png"]}
    large = photograph(20, 60, 91, 85)
    deep = in_grey(large, 4)
    deep = replace(deep, pixels=deep.pixels + np.arange(85, dtype=np.uint16) % 13)
    files["single-lattice"] = lattice_single(large)
    files["single-lattice-grey"] = lattice_single(in_grey(large))
    files["single-lattice-sixteen"] = lattice_single(deep)
    files["single-lattice-alpha"] = lattice_single(with_alpha(large))
    files["archive-lattice"] = lattice_archive(
        [*thumbnails(6), edges, photograph(9, 9, 1, 1)], [deep, in_grey(edges, 4)], [in_grey(edges)]
    )
    files["archive-lattice-alpha"] = lattice_archive([with_alpha(one) for one in thumbnails(3)])
    small = photograph(40, 90, 45, 38)
    files["single-corrected"] = lattice_single(small, "corrector-3")
    files["single-corrected-sixteen"] = lattice_single(in_grey(small, 4), "corrector-1")
    files["archive-corrected"] = lattice_archive(
        [*thumbnails(3), small, photograph(9, 9, 1, 2)], [with_alpha(small)], corrector="corrector-3"
    )
    text = KeptFile(b"kept as it is, again and again\n" * 9, "notes.txt")
    files["single-kept"] = single(text), {"": text}
    noise = KeptFile(np.random.default_rng(1).bytes(50), "noise.bin")
    mixed = {"a/notes.txt": text, "digit.png": binary_digits(1)[0], "noise.bin": noise}
    files["archive-kept"] = archive_of(mixed), mixed
    some_folders = {"": Attributes(0o755, 5), "a": UNKNOWN, "b": Attributes(0o700, 10**18), "e/mpty": UNKNOWN}
    times = [Attributes(0o644, 10**18 + 10**9 * n) for n in range(5)]
    files["archive-attributes"] = (
        compress_archive(folders.items(), paper_models(), Options(), Tree([*times, UNKNOWN], some_folders))[0],
        folders,
    )
    files["archive-arrays"] = archive_of_arrays()
    files["archive-empty"] = archive_of({}), {}
    pair = {"first.png": rgb(1, 2), "second.png": rgb(2, 1)}
    segments = [stored_segment(number, picture) for number, picture in enumerate(pair.values())]
    files["archive-reordered"] = hand_made(segments[::-1], [1, 1], pack_names(list(pair))), pair
    return {f"good-{name}.bb": file for name, file in files.items()}


def array_files() -> dict[str, bytes]:
    """Small ones of several pictures each, of every kind."""
    slow = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8)
    coloured = np.stack([np.dstack([slow, slow + 9, slow * 2]), np.dstack([slow, slow, slow])])
    deep = (slow[None, :5, :6].astype(np.uint16) * 300 + np.arange(3)[:, None, None]).astype(">u2")
    digits = np.stack([picture.pixels for picture in grey_digits(4)])
    return {
        "in/digits.npy": npy_bytes(digits),
        "batch.bin": binary_batch(coloured, (3,)),
        "deep.npy.gz": gzipped(npy_bytes(deep)),
        "bits.npy": npy_bytes(slow[:6, :10].reshape(3, 4, 5) % 2 == 0),
        "two.npz": npz_bytes(planes=coloured[:, :7, :6].transpose(0, 3, 1, 2), labels=np.arange(2), idx=digits[:2, :8]),
    }


def unpacked(data: bytes, name: str) -> tuple[ArrayFile, bytes]:
    array, plain = take_apart(io.BytesIO(data), name, io.BytesIO)
    plain.seek(0)
    return array, plain.read()


def archive_of_arrays() -> tuple[bytes, dict[str, Item]]:
    """With pictures beside them, of which one is an array's only one."""
    found = [input_of("a.png", rgb()), input_of("one.npy", replace(whole(npy_bytes(rgb(4, 3, 1).pixels)), file=None))]
    for name, data in array_files().items():
        array, plain = unpacked(data, name)
        found += array_inputs(name, array, partial(io.BytesIO, plain))
    file = io.BytesIO()
    write_archive(file, found, here(paper_models(), Options()), Options())
    return file.getvalue(), {one.name: replace(whole_of(one), metadata=kept_metadata(one)) for one in found}


def whole(data: bytes) -> Picture:
    item = read(data)
    assert isinstance(item, Picture)
    return item


def whole_of(one: Input) -> Picture:
    item = one.read()
    assert isinstance(item, Picture)
    return item


def kept_metadata(one: Input) -> Metadata:
    """Those of a picture, not of an array of several."""
    return NO_METADATA if one.array else whole_of(one).metadata


def wrong_arrays() -> dict[str, bytes]:
    """An array of two pictures: with another's name, with one picture less, alone in the small form."""
    first, second = (Picture("L", np.full((2, 2), value, np.uint8)) for value in (3, 4))
    both = Metadata(Format.ARRAY, ArrayFile((Span(0, 4, 2, first.header),), b"").pack())
    first = replace(first, metadata=both)
    with patch("bbcompress.archive.writer.arrays_of"):
        return {
            "archive-array-name": archive_of({"x[0]": first, "y[1]": second}),
            "archive-array-short": archive_of({"x[0]": first}),
            "archive-array-outside": archive_of({"..[0]": first, "..[1]": second}),
            "single-array": pack_single(Stored(stored.encode(first)), pictures_digest([first]), both),
        }


def bad(single: bytes, archive: bytes, about: bytes) -> dict[str, tuple[bytes, list[str | None]]]:
    """Damaged files by name, with the names of the pictures that are recovered, None where names are lost.

    They are a single file and archives with several segments, without and with metadata.
    """
    first, second, *_, names, _, index = blocks_of(archive)
    every = ArchiveReader(archive).names or []
    *_, description, _ = blocks_of(about)
    lost = ArchiveReader(archive).parts
    outside = [[name for n, name in enumerate(every) if n not in part.numbers.tolist()] for part in lost]
    a, b = stored_segment(0, rgb(1, 2)), stored_segment(1, rgb(2, 1))
    small = rgb(1, 2)
    digest = pack_segment(Segment(np.array([0]), Stored(stored.encode(small)), bytes(32)))
    bottom = pack_segment(Segment(np.array([0]), wrong_bottom(small), pictures_digest([small])))
    ab = pack_names(["a.png", "b.png"])
    files: dict[str, tuple[bytes, list[str | None]]] = {
        "empty": (b"", []),
        "not-an-archive": (b"\x89PNG\r\n\x1a\n and so on, of no use", []),
        "flipped-bit": (flipped(single, 8 * len(single) // 2), []),
        "header": (flipped(single, 20), []),
        "cut-short": (single[:-1], []),
        "single-trailing-byte": (single + b"\0", []),
        "single-bottom": (pack_single(wrong_bottom(small), bytes(4)), []),
        "archive-bottom": (hand_made([bottom, b], [1, 1], ab), ["b.png"]),
        "single-digest": (pack_single(Stored(stored.encode(small)), bytes(4)), []),
        "reserved-bits": (single_file(b"\xbbC\1\x10" + bytes(20)), []),
        "archive-first-segment": (flipped(archive, 8 * first.offset + 400), [*outside[0]]),
        "archive-second-segment": (flipped(archive, 8 * second.offset + 400), [*outside[1]]),
        "archive-names": (flipped(archive, 8 * names.offset + 40), [None] * len(every)),
        "archive-index": (flipped(archive, 8 * index.offset + 30), [*every]),
        "archive-end-mark": (flipped(archive, 8 * len(archive) - 1), [*every]),
        "archive-cut-short": (archive[: names.offset], [None] * len(every)),
        "archive-header": (flipped(archive, 20), []),
        "trailing-byte": (archive + b"\0", [*every]),
        "archive-metadata": (flipped(about, 8 * description.offset + 100), [*every]),
        "archive-digest": (hand_made([digest, b], [1, 1], ab), ["b.png"]),
        "archive-same-number": (hand_made([a, a], [1, 1], ab), []),
        "archive-same-name": (hand_made([a, b], [1, 1], pack_names(["a.png", "a.png"])), [None, None]),
        "archive-picture-missing": (hand_made([b], [1], ab), ["b.png"]),
        "archive-name-missing": (hand_made([a, b], [1, 1], pack_names(["a.png"])), [None, None]),
        "archive-wrong-count": (hand_made([a, b], [1, 7], ab), ["a.png", "b.png"]),
        "archive-name-outside": (hand_made([a], [1], _names(b"../evil.png")), [None]),
        "archive-name-absolute": (hand_made([a], [1], _names(b"/tmp/evil.png")), [None]),
    }
    arrays = wrong_arrays()
    files |= {name: (data, list(ArchiveReader(data).names or [None])) for name, data in arrays.items()}
    return {f"bad-{name}.bb": file for name, file in files.items()}


def _names(name: bytes) -> bytes:
    """One name, without the check of `pack_names`."""
    return b"\1\0" + write_varint(len(name)) + name + b"\0"


def refused(digit: bytes) -> dict[str, bytes]:
    """Sound files that this version does not read, by name."""
    a, names = stored_segment(0, rgb(1, 2)), pack_names(["a.png"])
    (part,) = ArchiveReader(digit).parts
    assert isinstance(part.payload, BitsBack)
    foreign = replace(part.payload, model_id=bytes(range(32)))
    chain = pack_segment(Segment(np.array([0]), foreign, bytes(32)))
    refined = pack_segment(Segment(np.array([0]), replace(foreign, plan=foreign.plan._replace(steps=1)), bytes(32)))
    steps_at = 1 + 3 + 32 + 32 + 1 + 3
    assert refined[steps_at : steps_at + 2] == b"\1\2"
    huge = Picture("L", np.zeros((1, 1), np.uint8)).header._replace(width=1 << 20, height=1 << 20).pack()
    many = b"\1\1\0" + write_varint(MAX_IMAGES - 1) + chain[4:]
    return {
        "unsupported-version.bb": single_file(b"\xbbC\2" + b"of the future"),
        "unsupported-archive-version.bb": hand_made([a], [1], names, version=2),
        "unsupported-form.bb": single_file(b"\xbbC\x21" + b"of the future"),
        "unsupported-method.bb": single_file(b"\xbbC\1\x0f" + bytes(20)),
        "unsupported-archive-method.bb": hand_made([b"\x0f" + a[1:]], [1], names),
        "unsupported-pixel-form.bb": single_file(b"\xbbC\1\xf1" + bytes(20)),
        "unsupported-refinement.bb": hand_made(
            [refined[: steps_at + 1] + b"\xff" + refined[steps_at + 2 :]], [1], names
        ),
        "unsupported-model.bb": pack_single(foreign, bytes(4)),
        "unsupported-archive-model.bb": hand_made([chain], [1], names),
        "unsupported-pixels.bb": pack_single(Stored(b"\0" + huge + bytes(20)), bytes(4)),
        "unsupported-pictures.bb": hand_made([many, many], [1, 1], pack_names(["a.png", "b.png"])),
    }


def main() -> None:
    if sys.argv[1:] == ["--anew"]:
        for old in [*FOLDER.glob("*.bb"), *FOLDER.glob("*.safetensors"), *FOLDER.glob("expected.json")]:
            old.unlink()
    for contents in (make_corrector(1), make_corrector(3)):
        if not (FOLDER / f"{contents.info.name}.safetensors").exists():
            save(FOLDER / f"{contents.info.name}.safetensors", contents)
    expected = json.loads(EXPECTED.read_text("utf-8")) if EXPECTED.exists() else {}

    def put(name: str, data: bytes, what: dict[str, Any]) -> None:
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(data)
            expected[name] = what
            print(f"{name}: {len(data)} bytes")

    sound = good()
    for name, (data, pictures) in sound.items():
        what: dict[str, Any] = {"pictures": {kept: facts(picture) for kept, picture in pictures.items()}}
        if name == "good-archive-arrays.bb":
            contents = {array: unpacked(file, array)[1] for array, file in array_files().items()}
            what["arrays"] = {array: hashlib.sha256(plain).hexdigest() for array, plain in contents.items()}
        put(name, data, what)
    kinds = ("single-grey", "archive-folders", "archive-metadata")
    for name, (data, recovered) in bad(*(sound[f"good-{kind}.bb"][0] for kind in kinds)).items():
        put(name, data, {"recovered": recovered})
    for name, data in refused(sound["good-single-binary.bb"][0]).items():
        put(name, data, {})
    EXPECTED.write_text(json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
