"""How do measurements look?

`curves` draws lines, `pictures` says which lines a report has; both know only results, so a saved file is drawn as
well. Needs matplotlib, the extra `plot`.
"""

from quire.bench.plots.curves import check_installed, save_curves

__all__ = ["check_installed", "save_curves"]
