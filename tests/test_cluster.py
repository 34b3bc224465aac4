"""Archives made by other processes and machines, and files that URLs name: the same bytes as here."""

import io
import os
import subprocess
import sys
from functools import partial
from multiprocessing import get_context

import pytest
from click.testing import CliRunner
from helpers import grey_digits, write

from bbcompress.archive.compress import Options, write_archive
from bbcompress.archive.job_encoder import JobEncoder, OtherModels
from bbcompress.archive.jobs import input_of
from bbcompress.cli import main
from bbcompress.cli.common import installed_models

SEGMENT = ("--segment-size", "784", "--effort", "1", "--no-times")


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for number, picture in enumerate(grey_digits(12)):
        write(picture, folder / f"{number:03d}.png")
    return folder


def bbc(*arguments, code=0):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done


def test_any_map_that_keeps_order_encodes_jobs():
    options = Options(effort=1, segment_pixels=784)
    encoder = JobEncoder.of(partial(installed_models, "numpy"), options)
    inputs = [input_of(f"{number}.png", picture) for number, picture in enumerate(grey_digits(6))]
    here, there = io.BytesIO(), io.BytesIO()
    write_archive(here, inputs, partial(map, encoder), options)
    with get_context("spawn").Pool(2) as pool:
        write_archive(there, inputs, partial(pool.imap, encoder), options)
    assert here.getvalue() == there.getvalue()


def test_a_worker_with_other_models_is_refused(monkeypatch):
    encoder = JobEncoder.of(partial(installed_models, "numpy"), Options())
    other = JobEncoder(encoder.open_registry, encoder.options, encoder.identities[1:], None, b"another")
    with pytest.raises(OtherModels):
        other(None)


@pytest.mark.parametrize("missing", ["fsspec", "distributed"])
def test_a_missing_package_is_told_in_one_line(missing, digits, tmp_path, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "fsspec":
        done = bbc("compress", "s3://bucket/in", "-o", tmp_path / "x.bb", code=1)
    else:
        pytest.importorskip("dask")
        done = bbc("compress", "--scheduler", "tcp://127.0.0.1:1", digits, "-o", tmp_path / "x.bb", code=1)
    assert done.stderr.count("\n") == 1 and "pip install 'bbcompress[cluster]'" in done.stderr
    assert not (tmp_path / "x.bb").exists()


@pytest.fixture
def memory():
    store = pytest.importorskip("fsspec").filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def test_urls_are_sources_and_targets(memory, digits, tmp_path):
    for path in sorted(digits.iterdir()):
        memory.pipe_file(f"/in/{path.name}", path.read_bytes())
    memory.pipe_file("/in/drafts/1.png", b"")
    bbc("compress", "memory://in", "-o", "memory://out.bb", "--exclude", "drafts", *SEGMENT)
    archive = memory.cat_file("/out.bb")
    assert "already exists" in bbc("compress", "memory://in", "-o", "memory://out.bb", *SEGMENT, code=1).stderr
    assert memory.cat_file("/out.bb") == archive
    bbc("decompress", "memory://out.bb", "-o", tmp_path / "back")
    assert {path.name for path in (tmp_path / "back").iterdir()} == {path.name for path in digits.iterdir()}
    assert "no such file" in bbc("compress", "memory://nothing", "-o", tmp_path / "x.bb", code=1).stderr


def test_what_fails_leaves_nothing_at_a_url(memory, digits, monkeypatch):
    (digits / "text").write_text("no picture")
    bbc("compress", digits, "-o", "memory://out.bb", "--pixels", *SEGMENT, code=1)
    assert not memory.exists("/out.bb")


@pytest.mark.slow
def test_a_lost_worker_changes_nothing(digits, tmp_path):
    distributed = pytest.importorskip("distributed")
    bbc("compress", digits, "-o", tmp_path / "here.bb", *SEGMENT, "-T", "1")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        code = "from bbcompress.cli import main; main()"
        command = [sys.executable, "-c", code, "compress", "--scheduler", cluster.scheduler_address, str(digits)]
        with subprocess.Popen([*command, "-o", str(tmp_path / "there.bb"), *SEGMENT]) as client:
            with distributed.Client(cluster) as watcher:

                def working(dask_scheduler):
                    return sum(len(worker.processing) for worker in dask_scheduler.workers.values())

                while client.poll() is None and not watcher.run_on_scheduler(working):
                    pass
                assert client.poll() is None, "done before a worker was killed"
                os.kill(next(iter(cluster.workers.values())).pid, 9)
            assert client.wait(timeout=120) == 0
    assert (tmp_path / "there.bb").read_bytes() == (tmp_path / "here.bb").read_bytes()


@pytest.mark.slow
def test_workers_read_from_an_object_store(digits, tmp_path, monkeypatch):
    distributed, server = pytest.importorskip("distributed"), pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    store = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    store.start()
    host, port = store.get_host_and_port()
    settings = {"KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings["KEY_ID"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings["SECRET_ACCESS_KEY"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    try:
        bucket = s3fs.S3FileSystem()
        bucket.mkdir("bucket")
        bucket.put(f"{digits}/", "bucket/in/", recursive=True)
        bbc("compress", "s3://bucket/in", "-o", "s3://bucket/here.bb", *SEGMENT, "-T", "1")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster:
            asked = ("compress", "--scheduler", cluster.scheduler_address, "s3://bucket/in", "-o", "s3://bucket/out.bb")
            bbc(*asked, *SEGMENT)
            written = bucket.cat_file("bucket/out.bb")
            assert "already exists" in bbc(*asked, *SEGMENT, code=1).stderr
        assert written == bucket.cat_file("bucket/here.bb")
        bbc("decompress", "s3://bucket/out.bb", "-o", tmp_path / "back")
        assert len(list((tmp_path / "back").iterdir())) == 12
        assert sorted(bucket.ls("bucket", refresh=True)) == ["bucket/here.bb", "bucket/in", "bucket/out.bb"]
    finally:
        store.stop()
