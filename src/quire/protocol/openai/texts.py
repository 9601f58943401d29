"""The requests of /v1/embeddings, /tokenize and /detokenize."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from quire.errors import InvalidRequestError
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, PromptIds
from quire.protocol.openai.messages import TEMPLATE_FIELDS, Messages, TemplateBody

MAX_DIM = 65_536


class EmbeddingRequest(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "truncate_prompt_tokens": "send the part of the text that counts.",
        "priority": "texts to be embedded are served as they come.",
    }

    model: Label | None = None
    input: Annotated[
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXT_LIST)]
        | PromptIds
        | Annotated[list[PromptIds], Field(min_length=1, max_length=MAX_TEXT_LIST)],
        Field(description=f"text, a list of token ids, or a list of 1 to {MAX_TEXT_LIST} of either."),
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1, le=MAX_DIM)] | None = None
    """Keeps so many of a vector's first numbers, at unit length again, for models that were trained to be cut."""
    input_type: Literal["query", "document"] = "document"
    """Of models that are told queries from documents."""
    user: Label | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class TokenizeRequest(TemplateBody):
    model: Label | None = None
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool = True
    """Of a prompt; the template of a chat writes its own."""
    return_token_strs: bool = False

    @model_validator(mode="after")
    def _is_prompt_or_chat(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequestError("Give prompt or messages, one of them.", param="prompt")
        given, foreign = ("messages", {"add_special_tokens"}) if self.messages else ("prompt", TEMPLATE_FIELDS)
        for name in sorted(foreign & self.model_fields_set):
            raise InvalidRequestError(f"{name} has no meaning with {given}; leave it out.", param=name)
        return self


class DetokenizeRequest(Body):
    model: Label | None = None
    tokens: PromptIds
