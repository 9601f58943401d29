from quire.bench.serving import scheduler


def test_every_case_runs_and_ours_is_the_better_side():
    values = {(case.name, case.side): case.run().values for case in scheduler.cases(quick=True)}
    ours, fcfs = values["deadlines", "quire"], values["deadlines", "fcfs"]
    assert ours["urgent_in_time_share"] >= fcfs["urgent_in_time_share"]
    assert ours["goodput_per_s"] >= fcfs["goodput_per_s"]
    limited, unlimited = values["admission", "quire"], values["admission", "no admission"]
    assert limited["longest_queue"] < unlimited["longest_queue"]
    assert limited["admitted_in_time_share"] > unlimited["admitted_in_time_share"]
    assert values["batching", "wait 0 ms"]["batch_items"] < values["batching", "wait inf ms"]["batch_items"]


def test_a_case_gives_the_same_numbers_each_time_it_is_made():
    first, second = (next(iter(scheduler.cases(quick=True))).run().values for _ in range(2))
    assert first == second
