"""Archives made by other processes and machines, and files that URLs name: the same bytes as here."""

import contextlib
import io
import operator
import os
import socket
import subprocess
import sys
from functools import partial
from multiprocessing import get_context

import pytest
from click.testing import CliRunner
from helpers import grey_digits, write

from bbcompress.archive import cluster
from bbcompress.archive.cluster import ClusterError
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


@pytest.mark.parametrize("address", ["nonsense", "foo://127.0.0.1:8786", "tcp://127.0.0.1:1"])
def test_a_scheduler_that_cannot_be_reached_is_told_in_one_line(address, digits, tmp_path):
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    with dask.config.set({"distributed.comm.timeouts.connect": "500ms"}):
        done = bbc("compress", "--scheduler", address, digits, "-o", tmp_path / "x.bb", code=1)
    assert done.stderr.count("\n") == 1 and f"no scheduler can be reached at {address}: " in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_appending_without_a_scheduler_leaves_the_archive(digits, tmp_path):
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    archive = tmp_path / "x.bb"
    bbc("compress", digits / "000.png", digits / "001.png", "-o", archive, *SEGMENT)
    before = archive.read_bytes()
    with dask.config.set({"distributed.comm.timeouts.connect": "500ms"}):
        bbc("append", "--scheduler", "tcp://127.0.0.1:1", archive, digits / "002.png", code=1)
    assert archive.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits", "x.bb"]


def test_a_scheduler_without_workers_is_told_in_one_line(digits, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("bbcompress.archive.cluster.WAIT_SECONDS", 0.1)
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        address = cluster.scheduler_address
        done = bbc("compress", "--scheduler", address, digits, "-o", tmp_path / "x.bb", code=1)
    assert done.stderr.count("\n") == 1 and f"has no workers; start some: dask worker {address}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.parametrize(
    ("kind", "details", "told"),
    [("KilledWorker", ("job", None, 3), "memory enough"), ("client.FutureCancelledError", ("job", "lost"), "is gone")],
)
def test_what_becomes_of_a_lost_job_is_told(kind, details, told):
    error = operator.attrgetter(kind)(pytest.importorskip("distributed"))(*details)

    class Lost:
        def result(self):
            raise error

    with pytest.raises(ClusterError, match=told):
        cluster._result(Lost(), 1, Options())


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
def test_a_lost_scheduler_is_told_in_one_line(digits, tmp_path):
    pytest.importorskip("distributed")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    module = [sys.executable, "-m"]
    code = "from bbcompress.cli import main; main()"
    commands = (
        [*module, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]],
        [*module, "distributed.cli.dask_worker", address, "--nthreads", "1", "--death-timeout", "5"],
        [sys.executable, "-c", code, "compress", "--scheduler", address, digits, "-o", tmp_path / "x.bb", *SEGMENT],
    )
    with contextlib.ExitStack() as stack:
        scheduler, worker, client = (
            stack.enter_context(subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True))
            for command in commands
        )
        stack.callback(worker.kill)
        for line in scheduler.stderr:
            if "Receive client connection" in line:
                break
        scheduler.kill()
        message = client.communicate(timeout=60)[1]
    assert client.returncode == 1 and message.count("\n") == 1 and "scheduler" in message
    assert not (tmp_path / "x.bb").exists()


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
