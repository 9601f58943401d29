"""Rendering a chat template: Jinja in the immutable sandbox, with what templates written for transformers expect
(`raise_exception`, `strftime_now`, `tojson`, loop controls, `{% generation %}`).

A template is code that came with a model or from a user, so its work is bounded (models/text/template_bounds.py), and a
template that goes over a bound ends in an InvalidRequestError, as one that raises does.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from quire.errors import ConfigError, InvalidRequestError, shown
from quire.models.text.template_bounds import BoundedEnvironment


class ChatTemplate:
    def __init__(self, source: str) -> None:
        """Raises InvalidRequestError where `source` is not a Jinja template."""
        self._environment = BoundedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationTag]
        )
        self._environment.add_filter("tojson", _to_json)
        self._environment.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        try:
            self._template = self._environment.bounded_template(source)
            read = meta.find_undeclared_variables(self._environment.parse(source))
        except (jinja2.TemplateError, RecursionError) as error:
            raise InvalidRequestError(f"The chat template does not parse: {error}", param="chat_template") from error
        self.variables = frozenset(read - self._environment.globals.keys())
        """The names it reads of what it is given."""

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text. Raises InvalidRequestError with what the template, or its bound, says."""
        try:
            with self._environment.metered():
                return self._template.render(variables)
        except InvalidRequestError:
            raise
        except RecursionError as error:
            raise InvalidRequestError("The chat template calls itself without end.", param="chat_template") from error
        except Exception as error:  # an expression of a template can raise whatever Python can
            message = f"The chat template refuses these messages: {error}"
            raise InvalidRequestError(message, param="messages") from error


def read_template(template: str) -> str:
    """The template itself, where a path may have been given. Raises ConfigError when it is neither."""
    if "{" in template or "\n" in template:
        return template
    try:
        return Path(template).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"chat_template is {shown(template)}, neither Jinja text nor a file: {error}") from error


@lru_cache(maxsize=32)
def compile_template(source: str) -> ChatTemplate:
    return ChatTemplate(source)


class _GenerationTag(Extension):
    """`{% generation %}` marks what the assistant says, for training; here it only renders what it holds."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own escapes HTML characters, which models were not trained on."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
