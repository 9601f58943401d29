"""Whether lm-eval scores a served model as it scores the same weights in transformers.

    pip install 'lm-eval[api]' transformers      (in an environment that has Quire and torch)
    python benchmarks/lm_eval_agreement.py [MODEL]

MODEL is a directory that transformers reads; without one, a tiny random Qwen3 with a byte tokenizer is written to a
temporary directory. `quire serve` serves it in a process of its own; lm-eval's `local-completions` scores a task over
HTTP and its `hf` backend scores it in this process, from the same files. The task is made here, so that nothing is
fetched: each document is a sentence of the README that breaks off, with its own end and three others' to choose from.
Printed are both accuracies, how many continuations were scored, and the largest difference between the two
log-likelihoods of one continuation, beside how far apart log-likelihoods lie.
"""

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

from quire.bench.serving.serve import own_server

ROOT = Path(__file__).parent.parent
NUM_DOCUMENTS = 40
TASK = """\
task: quire_sentences
dataset_path: json
dataset_kwargs: {{data_files: {{test: {path}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{beginning}}}}"
doc_to_choice: ends
doc_to_target: label
metric_list: [{{metric: acc}}]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = sys.argv[1] if len(sys.argv) > 1 else written_model(place / "tiny-qwen3")
        tasks = TaskManager(include_path=str(written_task(place)), include_defaults=False)
        with own_server(str(model), "--no-cache-weights") as server:
            address = {"model": str(model), "base_url": f"{server.url}/v1/completions", "tokenizer": str(model)}
            ours = scored("local-completions", {**address, "num_concurrent": 4, "max_length": 2048}, tasks)
        theirs = scored("hf", {"pretrained": str(model), "dtype": "float32", "device": "cpu"}, tasks)
    compare(ours, theirs)


def scored(backend: str, arguments: dict[str, Any], tasks: TaskManager) -> dict[str, Any]:
    found: dict[str, Any] = lm_eval.simple_evaluate(
        model=backend, model_args=arguments, tasks=["quire_sentences"], task_manager=tasks, bootstrap_iters=0
    )
    return found


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    mine, other = log_likelihoods(ours), log_likelihoods(theirs)
    differences = [abs(a - b) for a, b in zip(mine, other, strict=True)]
    accuracies = [found["results"]["quire_sentences"]["acc,none"] for found in (ours, theirs)]
    print(f"accuracy                      local-completions {accuracies[0]:.4f}, hf {accuracies[1]:.4f}")
    print(f"continuations scored          {len(differences)}, from {min(other):.2f} to {max(other):.2f}")
    print(f"largest difference            {max(differences):.2e} in log-likelihood")


def log_likelihoods(found: dict[str, Any]) -> list[float]:
    samples = sorted(found["samples"]["quire_sentences"], key=lambda sample: sample["doc_id"])
    return [float(answer[0]) for sample in samples for answer in sample["filtered_resps"]]


def written_task(folder: Path) -> Path:
    """Sentences of the README, halved."""
    text = " ".join((ROOT / "README.md").read_text().split())
    sentences = [s.strip() for s in text.split(". ") if 40 < len(s) < 300 and s.isascii()]
    rng = random.Random(0)
    halves = [(s[: len(s) // 2].rsplit(" ", 1)[0], s) for s in sentences[:NUM_DOCUMENTS]]
    ends = [sentence.removeprefix(beginning) for beginning, sentence in halves]
    documents = []
    for (beginning, _), end in zip(halves, ends, strict=True):
        choices = rng.sample([other for other in ends if other != end], 3)
        choices.insert(label := rng.randrange(4), end)
        documents.append({"beginning": beginning, "ends": choices, "label": label})
    (folder / "sentences.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    (folder / "sentences.yaml").write_text(TASK.format(path=folder / "sentences.jsonl"))
    return folder


def written_model(folder: Path) -> Path:
    """A random model of a few thousand weights, as transformers saves it."""
    sys.path.insert(0, str(ROOT))
    from tests.models.tiny import write_tiny
    from tests.models.tiny_tokenizers import write_tiny_tokenizer

    folder.mkdir()
    write_tiny(folder, "qwen3", seed=2)
    write_tiny_tokenizer(folder)
    return folder


if __name__ == "__main__":
    main()
