"""What pip is given while the native core is built is what an installed Quire would ask for."""

from tools.requirements import requirements


def test_the_dependencies_and_those_of_the_extras_that_are_named() -> None:
    plain = requirements([])
    assert "numpy>=2.0" in plain
    assert not any(line.startswith("pytest") for line in plain)
    assert requirements(["otel", "docs"]) == [*plain, "opentelemetry-exporter-otlp>=1.40", "mkdocs>=1.6"]
