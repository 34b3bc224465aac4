"""What is installed is whole: the wheel, away from the source tree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

TOP = Path(__file__).parent.parent
CODE = """
from importlib.metadata import distribution
from pathlib import Path

import bbcompress
from bbcompress.codec.registry import Registry

print(bbcompress.__file__)
print(sorted(header.info.name for _, header in Registry().headers()))
print(sorted(point.group for point in distribution("bbcompress").entry_points))
print((Path(bbcompress.__file__).parent / "py.typed").exists())
"""


def run(site, folder, *command):
    """Of a program that sees the installed package alone."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_whole_and_compresses_with_a_shipped_model(tmp_path):
    pytest.importorskip("hatchling")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, TOP], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True)

    where, models, entry_points, typed = run(site, tmp_path, sys.executable, "-c", CODE).splitlines()
    assert where.startswith(str(site))
    assert models == str(sorted(path.stem for path in (TOP / "models").glob("*.safetensors")))
    assert entry_points == "['console_scripts', 'numcodecs.codecs', 'zarr.codecs']"
    assert typed == "True"
    assert (site / "share" / "man" / "man1" / "bbc.1").read_bytes() == (TOP / "docs" / "bbc.1").read_bytes()

    bbc, digit = site / "bin" / "bbc", TOP / "tests" / "files" / "digit.png"
    assert run(site, tmp_path, bbc, "--version") == f"bbc, version {wheel.name.split('-')[1]}\n"
    run(site, tmp_path, bbc, "compress", digit, "-o", "digit.bb")
    assert "bits-back" in run(site, tmp_path, bbc, "info", "digit.bb")
    run(site, tmp_path, bbc, "decompress", "digit.bb", "-o", "back.png")
    assert Image.open(tmp_path / "back.png").tobytes() == Image.open(digit).tobytes()
