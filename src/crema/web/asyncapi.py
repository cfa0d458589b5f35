"""The AsyncAPI 3.1 document of the WebSockets, made from the models of their frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from crema.web import components

_REFERENCE: Final = f"{components.REFERENCE}{{model}}"


@dataclass(frozen=True, slots=True)
class Channel:
    """A WebSocket: the frames that a client may send and receive, each a model with a constant `type`."""

    name: str
    address: str
    summary: str
    description: str
    receives: Sequence[type[BaseModel]]
    sends: Sequence[type[BaseModel]]
    query: dict[str, Any]
    parameters: dict[str, str] = field(default_factory=dict)


def describe(
    channels: Sequence[Channel],
    *,
    title: str,
    version: str,
    description: str,
    url: str,
    schemes: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the document. `url` is the public address of the server: with https the sockets use wss.

    Every socket needs authentication, by any of the `schemes`.
    """
    address = urlsplit(url)
    document: dict[str, Any] = {
        "asyncapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "defaultContentType": "application/json",
        "servers": {
            "crema": {"host": address.netloc, "protocol": "wss" if address.scheme == "https" else "ws"},
        },
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": {
            name: operation for channel in channels for name, operation in _operations(channel, schemes).items()
        },
        "components": {
            "messages": _messages(channels),
            "schemas": _schemas(channels),
            "securitySchemes": {name: dict(scheme) for name, scheme in schemes.items()},
        },
    }
    renamed: dict[str, Any] = components.rename_references(document)
    return renamed


def _channel(channel: Channel) -> dict[str, Any]:
    described = {
        "address": channel.address,
        "title": channel.summary,
        "description": channel.description,
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}
            for model in (*channel.receives, *channel.sends)
        },
        "bindings": {"ws": {"method": "GET", "query": {"type": "object", "properties": channel.query}}},
    }
    if channel.parameters:
        described["parameters"] = {name: {"description": text} for name, text in channel.parameters.items()}
    return described


def _operations(channel: Channel, schemes: Iterable[str]) -> dict[str, Any]:
    """Return the operations from the server's view: it receives what a client sends."""
    return {
        f"{channel.name}.{action}": {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel.name}"},
            "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in schemes],
            "messages": [{"$ref": f"#/channels/{channel.name}/messages/{model.__name__}"} for model in models],
        }
        for action, models in (("receive", channel.receives), ("send", channel.sends))
    }


def _messages(channels: Sequence[Channel]) -> dict[str, Any]:
    models = {model.__name__: model for channel in channels for model in (*channel.receives, *channel.sends)}
    return {
        name: {
            "name": model.model_json_schema()["properties"]["type"]["const"],
            "summary": (model.__doc__ or "").partition("\n")[0],
            "payload": {"$ref": f"#/components/schemas/{name}"},
        }
        for name, model in sorted(models.items())
    }


def _schemas(channels: Sequence[Channel]) -> dict[str, Any]:
    taken = {model for channel in channels for model in channel.receives}
    given = {model for channel in channels for model in channel.sends}
    modes: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in taken]
    modes += [(model, "serialization") for model in given]
    _, schemas = models_json_schema(sorted(modes, key=lambda pair: pair[0].__name__), ref_template=_REFERENCE)
    return components.rewrite(schemas["$defs"])
