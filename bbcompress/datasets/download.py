"""Checksummed download of the public sets of images.

>>> sorted(SOURCES)
['cifar-10', 'fashion-mnist', 'mnist']
"""

import os
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bbcompress.datasets.reading import DatasetError, naming


@dataclass(frozen=True)
class Source:
    """Where a set of images is published, and what must arrive."""

    base_url: str
    files: Mapping[str, str]
    """File name below `base_url`, and its hash as "algorithm:hex"."""
    train: str
    test: str
    """Path of each part below the cache folder, as `bbcompress.datasets.load` takes it."""
    members: tuple[str, ...] = ()
    """What to unpack when `files` is one tar archive, by the names in it."""


# MD5, because that is what the publishers give; it guards against damage and mix-ups, not against an attacker.
SOURCES: dict[str, Source] = {
    "mnist": Source(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        },
        train="train-images-idx3-ubyte.gz",
        test="t10k-images-idx3-ubyte.gz",
    ),
    "fashion-mnist": Source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        {
            "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        },
        train="train-images-idx3-ubyte.gz",
        test="t10k-images-idx3-ubyte.gz",
    ),
    "cifar-10": Source(
        "https://www.cs.toronto.edu/~kriz",
        {"cifar-10-binary.tar.gz": "md5:c32a1d4ab5d03f1284b67883e8d87530"},
        train="cifar-10-batches-bin",
        test="cifar-10-batches-bin/test_batch.bin",
        members=(
            *(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
            "cifar-10-batches-bin/test_batch.bin",
        ),
    ),
}


def download(name: str, cache_dir: str | Path | None = None, base_url: str | None = None) -> dict[str, Path]:
    """Paths of the "train" and "test" images of the set `name` of `SOURCES`, each a source for `load`.

    Files go to `cache_dir/name`, by default in the user's cache folder, and those already there with the
    right hash are not fetched again. `base_url` names a mirror.

    Raises `DatasetError` if a file cannot be fetched or has another hash (it is not kept), or pooch is missing.
    """
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise DatasetError("downloading needs pooch: pip install 'bbcompress[train]'") from error
    if name not in SOURCES:
        raise DatasetError(f"no set of images is called {name!r}; there are {', '.join(sorted(SOURCES))}")
    source = SOURCES[name]
    folder = Path(cache_dir or pooch.os_cache("bbcompress")) / name
    for file, known_hash in source.files.items():
        url = f"{(base_url or source.base_url).rstrip('/')}/{file}"
        try:
            path = Path(pooch.retrieve(url, known_hash, fname=file, path=folder))
        except OSError as error:
            raise DatasetError(f"{url}: cannot be fetched ({error}); try again, or a mirror") from error
        except ValueError as error:
            raise DatasetError(f"{url}: is not the published file ({known_hash}); try again, or a mirror") from error
        if source.members:
            with naming(path):
                _unpack(path, source.members, folder)
    return {"train": folder / source.train, "test": folder / source.test}


def _unpack(archive: Path, members: tuple[str, ...], folder: Path) -> None:
    """Write `members` of a tar archive below `folder`, each whole or not at all; those there already stay.

    Only names that we know become paths, and only regular files are read, so the archive cannot choose
    where to write.
    """
    missing = [member for member in members if not (folder / member).exists()]
    with tarfile.open(archive) as tar:
        for member in missing:
            info = tar.getmember(member)
            content = tar.extractfile(info) if info.isfile() else None
            if content is None:
                raise DatasetError(f"holds {member}, but not as a regular file")
            target = folder / member
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(target.name + ".part")
            with content, partial.open("wb") as output:
                shutil.copyfileobj(content, output)
            os.replace(partial, target)
