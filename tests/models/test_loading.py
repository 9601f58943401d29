import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from quire.errors import ConfigError, ModelLoadError
from quire.models import load
from quire.parallel.group import SingleGroup
from tests.models.paged import chunked_logprobs, random_prompts
from tests.models.tiny import write_tiny, write_tiny_gguf


def load_tiny(path, **kwargs):
    return load(path, group=SingleGroup(), **kwargs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
def test_half_precision_is_close_to_the_float32_model_of_the_same_weights(dtype, tolerance, tmp_path):
    """Weights of the size that training leaves, since large ones blow up every rounding."""
    oracle = write_tiny(tmp_path, "qwen3", dtype=dtype, std=0.1)
    loaded = load_tiny(tmp_path)
    assert loaded.config.dtype is dtype
    prompt = random_prompts(320, [23])[0]
    ours = chunked_logprobs(loaded.model, loaded.config, [prompt])[0]
    assert ours.dtype is torch.float32
    with torch.inference_mode():
        theirs = oracle(torch.tensor([prompt])).logits[0].log_softmax(-1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


def test_the_config_holds_every_id_that_ends_a_sequence(tmp_path):
    write_tiny(tmp_path, "qwen3", eos_token_id=5)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 9]}')
    assert load_tiny(tmp_path).config.eos_token_ids == (5, 9)


def test_the_fingerprint_tells_models_apart(tmp_path):
    write_tiny(tmp_path / "a", "qwen3", seed=1)
    write_tiny(tmp_path / "b", "qwen3", seed=2)
    first = load_tiny(tmp_path / "a").fingerprint
    assert first == load_tiny(tmp_path / "a").fingerprint
    assert first != load_tiny(tmp_path / "b").fingerprint
    assert first != load_tiny(tmp_path / "a", dtype="bfloat16").fingerprint
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 77.0
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    assert first != load_tiny(tmp_path / "a").fingerprint


def test_an_unknown_dtype_is_refused_before_anything_is_read():
    with pytest.raises(ConfigError, match="dtype is 'int8'; allowed: auto, float32, bfloat16, float16"):
        load_tiny("nowhere at all", dtype="int8")


def test_a_directory_without_config_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match=r"has no config\.json, so it is not a Hugging Face model directory"):
        load_tiny(tmp_path)


def test_a_directory_of_gguf_files_says_which(tmp_path):
    write_tiny_gguf(tmp_path / "tiny-q8.gguf", write_tiny(tmp_path / "hf", "qwen3"))
    with pytest.raises(ModelLoadError, match=r"It holds GGUF files; name one of them: tiny-q8\.gguf"):
        load_tiny(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not JSON"), ("[]", "holds a JSON list; expected an object")]
)
def test_a_broken_config_is_named(content, message, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelLoadError, match=rf"config\.json {message}"):
        load_tiny(tmp_path)


def test_the_architecture_is_refused_before_weights_are_looked_for(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"], "auto_map": {"AutoModel": "x.Y"}}')
    with pytest.raises(ModelLoadError, match="GPT2LMHeadModel; supported: LlamaForCausalLM"):
        load_tiny(tmp_path)


@pytest.mark.parametrize(
    "name", ["./nowhere", "~/nowhere", "~nobody-of-that-name/x", "/nowhere/at/all", "a/b/c", "/" + 999 * "x"]
)
def test_a_path_that_does_not_exist_is_not_sought_on_the_hub(name):
    with pytest.raises(ModelLoadError, match=f"{name} does not exist. Give a directory"):
        load_tiny(name)


class FakeHub:
    """The calls of the Hugging Face hub that a download makes, over one directory of files."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, directory):
        hub, self.served = self, []

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(with_body=False)

            def do_GET(self):
                self.answer(with_body=True)

            def answer(self, with_body):
                path = self.path.split("?")[0]
                files = [file for file in directory.rglob("*") if file.is_file()]
                if path.startswith("/api/models/org/tiny/tree/"):
                    tree = [
                        {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": f"{i:040x}"}
                        for i, file in enumerate(files)
                    ]
                    return self.reply(200, json.dumps(tree).encode(), with_body)
                if path.startswith("/api/models/org/tiny/"):
                    info = {"id": "org/tiny", "sha": hub.COMMIT, "siblings": [{"rfilename": f.name} for f in files]}
                    return self.reply(200, json.dumps(info).encode(), with_body)
                prefix = f"/org/tiny/resolve/{hub.COMMIT}/"
                file = directory / path.removeprefix(prefix)
                if not path.startswith(prefix) or not file.is_file():
                    return self.reply(404, b"", with_body)
                hub.served.append(path.removeprefix(prefix))
                return self.reply(200, file.read_bytes(), with_body)

            def reply(self, status, body, with_body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Repo-Commit", hub.COMMIT)
                self.send_header("ETag", f'"{hash(self.path) & 0xFFFFFFFF:040x}"')
                if status == 404:
                    self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, *args):
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def environment(self, cache):
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return {
            **os.environ,
            "HF_ENDPOINT": url,
            "HF_HOME": str(cache),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }


FETCH = """
import sys
from quire.errors import ConfigError, ModelLoadError
from quire.models.hub import local_path
for name in sys.argv[1:]:
    try:
        print(local_path(name))
    except ModelLoadError as error:
        print("refused:", error)
"""


def test_only_what_is_needed_is_fetched_from_the_hub(tmp_path):
    """In a process of its own, since the hub's address is read when its package is imported."""
    repository = tmp_path / "repository"
    write_tiny(repository, "qwen3", max_shard_size="60KB")
    for name in (
        "pytorch_model.bin",
        "modeling_evil.py",
        "consolidated.safetensors",
        "README.md",
        "chat_template.jinja",
    ):
        (repository / name).write_text("never" if name != "chat_template.jinja" else "{{ messages }}")
    (repository / "tiny.gguf").write_bytes(b"GGUF")
    with FakeHub(repository) as hub:
        result = subprocess.run(
            [sys.executable, "-c", FETCH, "org/tiny", "org/tiny/tiny.gguf", "org/absent"],
            env=hub.environment(tmp_path / "cache"),
            capture_output=True,
            text=True,
        )
    assert result.returncode == 0, result.stderr
    directory, gguf, refused = result.stdout.splitlines()
    shards = {file.name for file in repository.glob("model-*.safetensors")}
    small = {"config.json", "generation_config.json", "model.safetensors.index.json", "chat_template.jinja"}
    assert len(shards) > 2
    assert set(hub.served) == shards | small | {"tiny.gguf"}
    assert load_tiny(directory).config.architecture == "qwen3"
    assert gguf.endswith("tiny.gguf")
    assert refused.startswith("refused: org/absent is no local path, and the hub gave no model of that name")
