"""Downloads are verified, kept, and unpacked to known names only; the server is on the loopback interface."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from bbcompress.datasets import DatasetError, load
from bbcompress.datasets.download import SOURCES, Source, download

pytest.importorskip("pooch")

TRAIN = b"\x00\x00\x08\x03" + bytes([0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]) + bytes([1, 2, 3, 4])
TEST = b"\x00\x00\x08\x03" + bytes([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2]) + bytes([5, 6])


class Server:
    """Serves `files` by name below `url` and lists what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requested: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/data/")
                server.requested.append(name)
                self.send_response(200 if name in server.files else 404)
                self.end_headers()
                self.wfile.write(server.files.get(name, b""))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/data/"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


@pytest.fixture
def tiny(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A set "tiny" of two IDX files, published on the server."""
    server.files = {"train": TRAIN, "test": TEST}
    hashes = {name: md5(content) for name, content in server.files.items()}
    monkeypatch.setitem(SOURCES, "tiny", Source(server.url, hashes, train="train", test="test"))
    return server


def everything_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_good_files_are_downloaded(tiny: Server, tmp_path: Path) -> None:
    paths = download("tiny", tmp_path)
    assert load(paths["train"]).tolist() == [[[[1], [2]]], [[[3], [4]]]]
    assert load(paths["test"]).tolist() == [[[[5], [6]]]]
    assert everything_in(tmp_path) == ["tiny/test", "tiny/train"]


def test_cached_files_are_not_fetched_again(tiny: Server, tmp_path: Path) -> None:
    first = download("tiny", tmp_path)
    assert download("tiny", tmp_path) == first
    assert sorted(tiny.requested) == ["test", "train"]


def test_damaged_cache_is_fetched_again(tiny: Server, tmp_path: Path) -> None:
    path = download("tiny", tmp_path)["train"]
    path.write_bytes(b"damaged")
    download("tiny", tmp_path)
    assert path.read_bytes() == TRAIN


def test_wrong_hash_is_refused_and_leaves_no_file(tiny: Server, tmp_path: Path) -> None:
    tiny.files["train"] = TRAIN[:-1] + b"\xff"
    with pytest.raises(DatasetError, match="not the published file") as caught:
        download("tiny", tmp_path)
    assert f"{tiny.url}train" in str(caught.value)
    assert everything_in(tmp_path) == []


def test_missing_file_and_unreachable_server_are_refused(tiny: Server, tmp_path: Path) -> None:
    del tiny.files["train"]
    with pytest.raises(DatasetError, match="cannot be fetched"):
        download("tiny", tmp_path)
    with pytest.raises(DatasetError, match="cannot be fetched"):
        download("tiny", tmp_path, base_url="http://127.0.0.1:9")
    assert everything_in(tmp_path) == []


def test_mirror_replaces_the_address_only(tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = SOURCES["tiny"]
    monkeypatch.setitem(SOURCES, "tiny", Source("http://127.0.0.1:9", source.files, source.train, source.test))
    download("tiny", tmp_path, base_url=tiny.url.rstrip("/"))
    assert everything_in(tmp_path) == ["tiny/test", "tiny/train"]


def test_unknown_name_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cifar-10, fashion-mnist, mnist"):
        download("imagenet", tmp_path)


def tar(**members: bytes | tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def publish(server: Server, monkeypatch: pytest.MonkeyPatch, archive: bytes) -> None:
    """A set "tarred" like CIFAR-10: one archive with two training batches and a test batch."""
    server.files["tarred.tar.gz"] = archive
    batches = tuple(f"batches/{name}.bin" for name in ("data_batch_1", "data_batch_2", "test_batch"))
    source = Source(server.url, {"tarred.tar.gz": md5(archive)}, "batches", "batches/test_batch.bin", batches)
    monkeypatch.setitem(SOURCES, "tarred", source)


def batch(value: int) -> bytes:
    return b"\x00" + bytes([value]) * 3072


BATCHES = {
    "batches/data_batch_1.bin": batch(1),
    "batches/data_batch_2.bin": batch(2),
    "batches/test_batch.bin": batch(3),
}


def test_only_expected_members_are_unpacked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "absolute"
    extra = {"../escaped": b"x", "batches/../../escaped2": b"x", str(outside): b"x", "batches/readme": b"x"}
    publish(server, monkeypatch, tar(**extra, **BATCHES))
    cache = tmp_path / "deep" / "cache"
    paths = download("tarred", cache)
    assert np.unique(load(paths["train"])).tolist() == [1, 2]
    assert np.unique(load(paths["test"])).tolist() == [3]
    assert everything_in(tmp_path) == [f"deep/cache/tarred/{name}" for name in [*sorted(BATCHES), "tarred.tar.gz"]]


def test_missing_members_are_unpacked_again_without_a_fetch(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, monkeypatch, tar(**BATCHES))
    paths = download("tarred", tmp_path)
    paths["test"].unlink()
    kept = paths["train"] / "data_batch_1.bin"
    written_ns = kept.stat().st_mtime_ns
    download("tarred", tmp_path)
    assert paths["test"].read_bytes() == batch(3)
    assert kept.stat().st_mtime_ns == written_ns
    assert server.requested == ["tarred.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_member_that_is_no_regular_file_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: bytes
) -> None:
    link = tarfile.TarInfo("batches/data_batch_1.bin")
    link.type, link.linkname = kind, "secret"
    members: dict[str, bytes | tarfile.TarInfo] = {"secret": b"x", **BATCHES, link.name: link}
    publish(server, monkeypatch, tar(**members))
    with pytest.raises(DatasetError, match="regular file"):
        download("tarred", tmp_path)
    assert everything_in(tmp_path) == ["tarred/tarred.tar.gz"]


def test_member_that_is_missing_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(server, monkeypatch, tar(**{"batches/data_batch_1.bin": batch(1)}))
    with pytest.raises(DatasetError, match="data_batch_2"):
        download("tarred", tmp_path)


def test_published_sources_are_complete() -> None:
    for source in SOURCES.values():
        assert source.base_url.startswith("http")
        for known_hash in source.files.values():
            algorithm, digest = known_hash.split(":")
            assert algorithm == "md5" and len(bytes.fromhex(digest)) == 16
        assert {source.train, source.test} <= {*source.files, *source.members} | {"cifar-10-batches-bin"}
