import json

from typer.testing import CliRunner

import quire
from quire.cli.app import app


def test_env_as_json_and_as_text_say_the_same() -> None:
    facts = json.loads(CliRunner().invoke(app, ["env", "--json"]).output)
    assert facts["versions"]["quire"] == quire.__version__
    assert facts["cpu"]["kernels"] in ("avx512", "avx2", "portable")
    assert 0 < facts["memory"]["available_bytes"] <= facts["memory"]["total_bytes"]
    text = CliRunner().invoke(app, ["env"]).output
    for group in facts.values():
        assert all(f"  {name.removesuffix('_bytes')} " in text for name in group)
    assert f"{facts['memory']['total_bytes'] / (1 << 30):.1f} GiB" in text
