"""Each picture has the numbers of its report, in the file and in the figure."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from quire.bench.harness import Result
from quire.bench.plots.curves import draw_curves
from quire.bench.plots.pictures import pictures, save_pictures
from quire.bench.results import Report

WHERE = {"cpu": "c", "physical_cores": 2, "hash": "h"}


def report(*results: Result) -> Report:
    return Report("hnsw", list(results), environment=WHERE)


def searched(side: str, vectors: int, ef: int) -> Result:
    speed = 1000.0 / ef * (2 if side == "quire" else 1)
    values = {"queries_per_s": [speed] * 3, "recall": [1 - 1 / ef] * 3}
    return Result("search", side, {"vectors": vectors, "ef": ef}, values, {"call_ms": [1.0] * 5 + [ef / 10] * 6})


def lines(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    return {
        str(line.get_label()): list(map(tuple, line.get_xydata().tolist()))
        for axes in figure.axes
        for line in axes.get_lines()
    }


def words(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text)}


def test_a_report_of_searches_has_recall_scaling_latency_and_the_trade_off() -> None:
    grid = [searched(s, n, ef) for s in ("quire", "hnswlib") for n in (1000, 50_000) for ef in (10, 20, 40)]
    found = pictures(report(*grid))
    assert set(found) == {"latency", "scaling", "tradeoff", "recall"}
    recall = lines(found["recall"])
    assert recall["quire, vectors 1,000"] == [(0.9, 200), (0.95, 100), (0.975, 50)]
    assert {"recall", "queries_per_s", "hnsw: recall and speed", "hnswlib, vectors 50,000"} <= words(found["recall"])
    assert lines(found["scaling"])["quire, ef 20"] == [(1000, 100), (50_000, 100)]
    assert found["scaling"].axes[0].get_xscale() == "log"
    assert lines(found["tradeoff"])["hnswlib, vectors 1,000"] == [(1.0, 100), (2.0, 50), (4.0, 25)]


def test_the_distribution_of_latencies_is_the_share_done_within() -> None:
    figure = pictures(report(Result("search", "quire", {}, {}, {"call_ms": [float(i) for i in range(101)]})))["latency"]
    ((name, points),) = lines(figure).items()
    assert name == "search"
    assert all(share == pytest.approx(ms / 100) for ms, share in points)
    assert {"call_ms", "share done within", "hnsw: call_ms of single events"} <= words(figure)


def test_few_events_have_no_distribution_and_a_wide_one_is_logarithmic() -> None:
    few, wide = (Result(name, "quire", {}, {}, {"call_ms": ms}) for name, ms in (("few", [1.0] * 9), ("wide", [])))
    wide.samples["call_ms"] = [0.1] * 10 + [2.5]
    figure = pictures(report(few, wide))["latency"]
    assert set(lines(figure)) == {"wide"}
    assert figure.axes[0].get_xscale() == "log"
    assert "latency" not in pictures(report(few))


def test_cold_and_warm_of_one_case_are_two_lines() -> None:
    samples = {
        f"{when}{name}_ms": [ms] * 10 for when, ms in (("cold_", 9.0), ("warm_", 3.0)) for name in ("ttft", "e2e")
    }
    made = report(Result("d", "quire", {}, {}, samples), Result("c", "quire", {}, {}, {"e2e_ms": [7.0] * 10}))
    found = lines(pictures(made)["latency"])
    assert {name: points[0][0] for name, points in found.items()} == {"d, cold": 9, "d, warm": 3, "c": 7}


def test_the_eleventh_line_differs_from_the_first() -> None:
    drawn = [
        (line.get_color(), line.get_linestyle())
        for line in draw_curves({str(i): [(0, i), (1, i)] for i in range(12)}, x="x", y="y").axes[0].get_lines()
    ]
    assert len(set(drawn)) == 12


def test_throughput_is_held_against_latency_over_the_batch() -> None:
    batches = [
        Result(
            "batch", "quire", {"batch": n}, {"wall_s": [1.0], "output_tokens_per_s": [10.0 * n]}, {"e2e_ms": [5.0 * n]}
        )
        for n in (1, 4)
    ]
    shares = [searched("quire", 1000, 10), searched("quire", 1000, 10)]
    for result, share in zip(shares, (0.1, 0.5), strict=True):
        result.params["share"] = share
    assert "tradeoff" not in pictures(report(*shares))  # how many pass a filter is no choice
    found = pictures(report(*batches))
    assert lines(found["tradeoff"]) == {"batch": [(5, 10), (20, 40)]}
    assert lines(found["scaling"]) == {"batch": [(1, 10), (4, 40)]}
    assert {"e2e_ms, median", "output_tokens_per_s"} <= words(found["tradeoff"])


def test_of_very_many_lines_each_case_has_its_own_picture() -> None:
    results = [
        Result(name, f"side {i}", {"ef": ef}, {"recall": [ef / 100], "queries_per_s": [1.0]})
        for name in ("one by one", "batch")
        for i in range(5)
        for ef in (10, 20)
    ]
    found = pictures(report(*results))
    assert {"recall-one-by-one", "recall-batch"} <= set(found)
    assert list(lines(found["recall-batch"])) == [f"side {i}" for i in range(5)]


def test_of_still_more_each_side_of_a_case_has_its_own() -> None:
    grid = [searched(side, n, ef) for side in ("quire", "faiss") for n in (1, 2, 3) for ef in (10, 20, 30)]
    found = pictures(report(*grid))
    assert {name for name in found if name.startswith("latency")} == {"latency-quire", "latency-faiss"}
    assert {"quire, vectors 1", "faiss, vectors 1"} <= lines(found["recall"]).keys()


def test_a_rate_is_drawn_before_a_time_and_the_one_that_most_cases_have() -> None:
    results = [
        Result(name, side, {"documents": n}, {metric: [float(n)]})
        for name, metric in (("build", "build_s"), ("search", "queries_per_s"), ("add", "adds_per_s"))
        for side in (("quire", "bm25s") if name != "add" else ("quire",))
        for n in (10, 20)
    ]
    figure = pictures(report(*results))["scaling"]
    assert lines(figure) == {"search, quire": [(10, 10), (20, 20)], "search, bm25s": [(10, 10), (20, 20)]}
    assert "queries_per_s" in words(figure)


def test_memory_is_drawn_as_it_was_seen() -> None:
    traced = Result("ingest", "quire", {}, {"wall_s": [1.0]}, memory=[(0.0, 100_000_000), (0.1, 250_000_000)])
    found = pictures(report(traced))
    assert lines(found["memory"]) == {"ingest": [(0, 100), (0.1, 250)]}
    assert {"s", "resident MB", "hnsw: memory over time"} <= words(found["memory"])


def test_a_saved_report_gives_the_same_files(tmp_path: Path) -> None:
    made = report(searched("quire", 1000, 10), searched("quire", 1000, 20))
    read = Report.from_json(made.to_json())
    paths = save_pictures(read, tmp_path / "deep")
    assert [path.name for path in paths] == ["hnsw-latency.png", "hnsw-tradeoff.png", "hnsw-recall.png"]
    assert {imread(path).shape[:2] for path in paths} == {(540, 840)}  # 7 by 4.5 inches at 120 dots
    assert all(imread(path)[..., :3].std() > 0.05 for path in paths)


def test_a_report_without_any_of_it_has_no_picture() -> None:
    assert pictures(report(Result("count", "quire", {}, {"runs": [1.0]}))) == {}
