"""The paper's experiment as a script: all of it with a few images, and ending in time."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "paper"


@pytest.fixture
def cifar(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import cifar

    return cifar


@pytest.fixture
def words(tmp_path):
    """A command line for 100 training and 50 test images that go smoothly from one colour to another."""
    random = np.random.default_rng(0)
    ends = random.integers(0, 256, (150, 2, 1, 1, 3))
    along = np.linspace(0, 1, 8)[:, None, None]
    images = (ends[:, 0] * (1 - along) + ends[:, 1] * along + np.zeros((8, 8, 1))).astype(np.uint8)
    for name, part in (("train", images[:100]), ("test", images[100:])):
        np.save(tmp_path / f"{name}.npy", part)
    files = [str(tmp_path / f"{name}.npy") for name in ("train", "test")]
    return ["--quick", "--work", str(tmp_path), "--cifar-10", *files]


def test_the_whole_experiment_runs_and_goes_on_where_it_was(cifar, words, tmp_path, capsys):
    sys.modules["experiment"].run(cifar.measure, "cifar", None, ["colour"], [*words, "--minutes", "1e-6"])
    told = capsys.readouterr().out
    assert "colour-4-0: epoch 1 of 2" in told and "the time is up at colour-4-0: epoch 1 of 2" in told
    assert not (tmp_path / "quick" / "results").exists()
    sys.modules["experiment"].run(cifar.measure, "cifar", None, ["colour"], words)
    told = capsys.readouterr().out
    assert "colour-4-0: epoch 1 of 2" not in told and "colour-4-0: epoch 2 of 2" in told
    results = tmp_path / "quick" / "results"
    found = {name: json.loads((results / f"{name}.json").read_text())["rows"] for name in (*cifar.PARTS, "figure8")}
    assert [row["method"] for row in found["table1"]][:4] == ["VAE", "VAE, further", "half-asleep", "denoising 0.1"]
    assert len(found["table1"]) == 10
    assert all(0 < row["test_bits_per_dim"] < 20 for row in found["table1"])
    assert [row["epoch"] for row in found["figure5"]] == [2]
    assert len(found["figure6"]) == 9
    assert {(row["encoder"], row["method"], row["K"]) for row in found["figure7"]} == {
        (encoder, method, K)
        for encoder in ("baseline", "half-asleep")
        for method in ("adam", "natural")
        for K in (0, 2)
    }
    assert len({row["net_bits_per_dim"] for row in found["figure7"] if row["K"] == 2}) == 4
    assert {path.name for path in results.glob("*.png")} == {f"figure{n}.png" for n in (5, 6, 7, 8)}


def test_kinds_that_are_not_asked_for_keep_their_rows(cifar, words, tmp_path):
    experiment = sys.modules["experiment"].Experiment("table", None, given=[*words, "--kinds", "grey"])
    experiment.write([{"kind": "grey", "rate": 1.0}], "")
    other = sys.modules["experiment"].Experiment("table", None, given=[*words, "--kinds", "binary", "colour"])
    other.write([{"kind": "binary", "rate": 2.0}, {"kind": "colour", "rate": 3.0}], "")
    experiment.write([{"kind": "grey", "rate": 4.0}], "")
    written = json.loads((tmp_path / "quick" / "results" / "table.json").read_text())
    assert [(row["kind"], row["rate"]) for row in written["rows"]] == [("binary", 2.0), ("grey", 4.0), ("colour", 3.0)]
    assert set(written["machines"]) == {"binary", "grey", "colour"}
