"""How quire-tiny is trained: the network, its optimizers, the courses, and that one seed makes one run."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from tools.train_tiny import corpora, data, tokenizer
from tools.train_tiny.exchange import load_exported, tensors
from tools.train_tiny.model import Network, Shape, causal_attention
from tools.train_tiny.muon import Muon
from tools.train_tiny.recipe import COURSES, STAGES
from tools.train_tiny.train import Trainer

TEXT = (
    "The Orne is a river. It was mapped in 1843 by Ada Moor. Its 12 bridges are old. Boats were used on its lower part."
)
ARTICLE = corpora.Article("Rivers", [(TEXT, [("Who mapped it?", ["Ada Moor"])])])
PAIRS = [("the orne was mapped in 1843.", "when was the orne mapped?")]
CORPORA = corpora.Corpora([ARTICLE], PAIRS, *[[[TEXT, TEXT]]] * 3)
START = [torch.randn(shape, generator=torch.Generator().manual_seed(1)) for shape in [(24, 16), (24, 16), (16, 40)]]


def test_courses_follow_on_each_other_and_the_last_ends_at_rest():
    assert [stage.start for stage in STAGES] == sorted({stage.start for stage in STAGES})
    courses = list(COURSES.values())
    assert all(before.end == after.start for before, after in pairwise(courses))
    for course in courses:
        assert course.learning_rate(course.start) == course.peak / course.warmup
        assert course.learning_rate(course.start + course.warmup) == course.peak
        assert course.learning_rate(course.end) == pytest.approx(course.peak * course.final)
        before_decay = course.end - course.decay
        assert course.learning_rate(before_decay) == course.peak
    assert courses[-1].final == 0.0


def test_attention_in_blocks_of_queries_is_attention():
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn((2, 2, 300, 16), generator=generator) for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(causal_attention(q, k, v), expected)


def test_an_exported_network_can_be_trained_on(tmp_path):
    torch.manual_seed(0)
    network, again = (Network(Shape(vocab_size=64, hidden_size=32, num_layers=2)) for _ in range(2))
    save_file(tensors(network), tmp_path / "model.safetensors")
    load_exported(again, tmp_path)
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor.to(torch.bfloat16).float()), name


def test_the_optimizer_of_matrices_is_torch_s_but_for_rounding():
    torch.manual_seed(0)
    ours, theirs = ([torch.nn.Parameter(matrix.clone()) for matrix in START] for _ in range(2))
    optimizers = (
        Muon(ours, lr=1e-2, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other, start in zip(ours, theirs, START, strict=True):
        assert (one - other).norm() < 0.03 * (one - start).norm()


@pytest.fixture
def alone(tmp_path):
    """A group of one worker."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def curve(seed, num_steps=3):
    """The tokenizer and the first losses of a run of `seed` with a small network."""
    read = replace(CORPORA, documentation=CORPORA.documentation * 400, pubmed=CORPORA.pubmed * 100)
    trained = tokenizer.train(data.vocabulary_texts(read, seed), vocab_size=400)
    torch.manual_seed(seed)
    trainer = Trainer(Network(Shape(vocab_size=400, hidden_size=32, num_layers=2)), 0, 1, compiled=False)
    rows = data.RowBuilder(trained, CORPORA, seed)
    return trained.to_str(), [float(trainer.advance(rows, rate=2e-3).total.detach()) for _ in range(num_steps)]


def test_the_same_seed_makes_the_same_tokenizer_and_the_same_loss_curve(alone):
    (one_tokenizer, one), (same_tokenizer, same), (_, other) = curve(1), curve(1), curve(2, num_steps=1)
    assert one_tokenizer == same_tokenizer
    assert one == pytest.approx(same, rel=1e-4)
    assert one[:1] != pytest.approx(other, rel=1e-4)
    assert one[-1] < one[0]
