"""Files written once decode forever to the same pictures, and what was refused stays refused."""

import json

import pytest
from helpers import FILES, registry

from bbcompress.archive.errors import DamagedArchive, UnsupportedArchive
from bbcompress.archive.payload import pictures_digest
from bbcompress.archive.read import Archive

DIGESTS = json.loads((FILES / "digests.json").read_text())


def pictures(name):
    decoded = Archive((FILES / name).read_bytes()).decode(registry())
    return [item.picture for item in sorted(decoded, key=lambda item: item.number)]


def test_the_catalogue_is_complete():
    assert {path.name for path in FILES.glob("good-*.bb")} == set(DIGESTS)
    listed = (FILES / "README.md").read_text()
    for path in FILES.glob("*.bb"):
        assert path.name in listed or path.name.startswith("good-stored-")


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_good_files_decode_to_the_same_pictures(name):
    assert pictures_digest(pictures(name)).hex() == DIGESTS[name]


@pytest.mark.parametrize("path", sorted(FILES.glob("bad-*.bb")), ids=lambda path: path.name)
def test_bad_files_are_damaged(path):
    with pytest.raises(DamagedArchive):
        list(Archive(path.read_bytes()).decode(registry()))


@pytest.mark.parametrize("path", sorted(FILES.glob("unsupported-*.bb")), ids=lambda path: path.name)
def test_files_from_the_future_are_unsupported(path):
    with pytest.raises(UnsupportedArchive):
        list(Archive(path.read_bytes()).decode(registry()))
