"""The options that the client's types name are those that the server reads."""

from typing import get_type_hints

from quire.client import asks, collection_asks
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol.collections import CollectionRequest, DocumentBody, SearchRequest
from quire.protocol.openai import ChatCompletionRequest, CompletionRequest, EmbeddingRequest, TokenizeRequest
from quire.protocol.openai.grounding import RetrievalOptions
from quire.protocol.rerank import RerankRequest

OTHERWISE = {"messages", "prompt", "stream", "stream_options", "prompt_logprobs", "response_format"}
"""Arguments of the methods, what the transports set, and what has another name: structured_outputs."""


def test_every_option_is_a_field_of_the_request() -> None:
    assert set(get_type_hints(asks.ChatOptions)) <= set(ChatCompletionRequest.model_fields)
    assert set(get_type_hints(asks.GenerateOptions)) <= set(CompletionRequest.model_fields)
    assert set(get_type_hints(asks.TemplateOptions)) <= set(TokenizeRequest.model_fields)


def test_every_option_of_collections_and_vectors_is_a_field_of_the_request() -> None:
    for options, request in (
        (asks.EmbedOptions, EmbeddingRequest),
        (asks.RerankOptions, RerankRequest),
        (asks.RetrievalOptions, RetrievalOptions),
        (collection_asks.NewCollectionOptions, CollectionRequest),
        (collection_asks.SearchOptions, SearchRequest),
        (collection_asks.NewDocument, DocumentBody),
    ):
        assert set(get_type_hints(options)) <= set(request.model_fields)


def test_a_name_is_one_step_of_the_path() -> None:
    asked = collection_asks.document("a b", "../x/é?")
    assert asked.path == "/v1/collections/a%20b/documents/%2E%2E%2Fx%2F%C3%A9%3F"


def test_every_option_travels_over_grpc() -> None:
    sampling = set(pb.Sampling.DESCRIPTOR.fields_by_name)
    assert set(get_type_hints(asks.ChatOptions)) <= sampling | set(pb.ChatRequest.DESCRIPTOR.fields_by_name)
    assert set(get_type_hints(asks.GenerateOptions)) <= sampling | set(pb.GenerateRequest.DESCRIPTOR.fields_by_name)


def test_every_field_of_grpc_is_an_option() -> None:
    options = set(get_type_hints(asks.ChatOptions)) | set(get_type_hints(asks.GenerateOptions))
    fields = {
        name for kind in (pb.Sampling, pb.ChatRequest, pb.GenerateRequest) for name in kind.DESCRIPTOR.fields_by_name
    }
    over_grpc_only = {"sampling", "prompt_token_ids", "tool_choice_function"}
    assert fields - over_grpc_only - OTHERWISE <= options
