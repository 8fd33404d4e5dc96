"""The contract's reference, made from the comments of the protos."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pb2

PROTOS: Final = Path(__file__).resolve().parents[1] / "protos"
# What each page holds: the services that strangers meet, and the messages of the same file.
PAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "contract.md": ("neunets/synthesizer/v1/synthesizer.proto", "neunets/graph/v1/graph.proto"),
    "service.md": ("neunets/service/v1/service.proto",),
}
TITLES: Final = {
    "contract.md": "The contract between engine and synthesizer",
    "service.md": "The engine's service API",
}
CONTRACT: Final = """\
[Launching](launching.md) is how a synthesizer's process begins and ends; [In any other language](any-language.md) is
the checklist of what it answers."""
SERVICE_API: Final = """
## Where it listens

`neunets up` listens on `127.0.0.1:7390`, or where `--listen` says: `HOST:PORT` of this machine, or `unix:PATH`. A
command without `--server` uses `unix:HOME/engine.sock`, where HOME is `--home`, `NEUNETS_HOME` or
`~/.local/share/neunets`. Either is the gRPC target of a client; the channel has no TLS. Clients on unix sockets set
the authority `localhost`, and clients on loopback use no proxy.

## Watching robustly

1. Keep the sequence number of the last event that was received; begin with 0. A message has `event` and, where the
   request's `most` is above 1, the events of `more` behind it.
2. Call Watch with that number as `after_seq`. A message without an event is a heartbeat; after 45 s without any
   message the stream is dead.
3. Where the stream fails with UNAVAILABLE or DEADLINE_EXCEEDED, or with CANCELLED or INTERNAL without an ErrorInfo
   (a proxy, a reset), wait 0.2 s to 5 s, growing, with jitter, and go on at 2. Every other status is final.
4. A stream that ends with OK does not say that the run is over: the engine may have been stopped. Ask Get: stop if
   `state` is final (COMPLETED, STOPPED, FAILED) or PAUSED, and all events up to its `seq` were received; otherwise
   go on at 2.

## Figures and metrics

They are fractions of 1 unless a unit ends the name. `Model.result.metrics` are those of `TrialEnded` in [the
contract](contract.md). `Model.figures` of an exported model are these and `model_bytes`, `latency_ms` (one example,
one thread), `max_abs_difference` (of the exported file's probabilities and the trainer's) and, where there is a test
set, `test_accuracy`, `test_balanced_accuracy`, `test_macro_f1`, `test_ece` and `test_brier`. Clients ignore names
that they do not know."""
# What no single comment says.
MORE: Final[Mapping[str, str]] = {"contract.md": CONTRACT, "service.md": SERVICE_API}
Field = descriptor_pb2.FieldDescriptorProto
# Numbers of the fields in a descriptor: by them comments are found.
MESSAGE, ENUM, SERVICE, METHOD, MEMBER, NESTED, NESTED_ENUM, VALUE, SYNTAX, PACKAGE = 4, 5, 6, 2, 2, 3, 4, 2, 12, 2


def pages() -> Mapping[str, str]:
    """File name → text."""
    buf = Path(sys.executable).parent / "buf"
    image = subprocess.run([buf, "build", "-o", "-"], cwd=PROTOS, stdout=subprocess.PIPE, check=True).stdout
    files = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(image).file}
    head = "Made from the comments in `protos/`."
    return {
        page: "\n".join([f"# {TITLES[page]}", "", head, MORE[page], *_lines(files, names)]) + "\n"
        for page, names in PAGES.items()
    }


def _lines(files: Mapping[str, descriptor_pb2.FileDescriptorProto], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield from _File(files[name]).lines()


class _File:
    """One proto file with its comments."""

    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(location.path): (location.leading_detached_comments, location.leading_comments)
            for location in file.source_code_info.location
        }

    def lines(self) -> Iterator[str]:
        yield from ["", f"## {self._file.package}", "", self._comment((PACKAGE,)) or self._comment((SYNTAX,))]
        for number, service in enumerate(self._file.service):
            yield from self._service((SERVICE, number), service)
        for number, message in enumerate(self._file.message_type):
            yield from self._message((MESSAGE, number), message, message.name)
        for number, enum in enumerate(self._file.enum_type):
            yield from self._enum((ENUM, number), enum, enum.name)

    def _service(self, path: tuple[int, ...], service: descriptor_pb2.ServiceDescriptorProto) -> Iterator[str]:
        yield from ["", f"### Service {service.name}", "", self._comment(path), ""]
        for number, method in enumerate(service.method):
            asked = ("stream " if method.client_streaming else "") + _short(method.input_type)
            answer = ("stream " if method.server_streaming else "") + _short(method.output_type)
            text = self._comment((*path, METHOD, number)) or "See the messages."
            yield f"- **{method.name}**(`{asked}`) → `{answer}`: {_joined(text)}"

    def _message(self, path: tuple[int, ...], message: descriptor_pb2.DescriptorProto, name: str) -> Iterator[str]:
        yield from ["", f"### {name}", ""]
        comment = self._comment(path)
        if comment:
            yield from [comment, ""]
        maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
        for number, field in enumerate(message.field):
            text = _joined(self._comment((*path, MEMBER, number)))
            yield f"- `{field.name}` {_kind(field, maps)}{_group(field, message)}{': ' + text if text else ''}"
        if not message.field:
            yield "No fields."
        for number, enum in enumerate(message.enum_type):
            yield from self._enum((*path, NESTED_ENUM, number), enum, f"{name}.{enum.name}")
        for number, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self._message((*path, NESTED, number), nested, f"{name}.{nested.name}")

    def _enum(self, path: tuple[int, ...], enum: descriptor_pb2.EnumDescriptorProto, name: str) -> Iterator[str]:
        yield from ["", f"### {name}", ""]
        comment = self._comment(path)
        if comment:
            yield from [comment, ""]
        for number, value in enumerate(enum.value):
            text = _joined(self._comment((*path, VALUE, number)))
            yield f"- `{value.name}` = {value.number}{': ' + text if text else ''}"

    def _comment(self, path: tuple[int, ...]) -> str:
        detached, leading = self._comments.get(path, ((), ""))
        text = leading or (detached[0] if detached else "")
        lines = "\n".join(line.strip() for line in text.strip().splitlines())
        return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", lines)  # pages beside this one


def _joined(text: str) -> str:
    return " ".join(text.split())


def _short(name: str) -> str:
    """Without our package; well-known types keep theirs."""
    return name.removeprefix(".") if name.startswith(".google") else name.rpartition(".")[2]


def _kind(field: Field, maps: Mapping[str, descriptor_pb2.DescriptorProto]) -> str:
    entry = maps.get(_short(field.type_name))
    if entry is not None:
        return f"map of {_scalar(entry.field[0])} to {_scalar(entry.field[1])}"
    if field.label == Field.LABEL_REPEATED:
        return f"list of {_scalar(field)}"
    return f"optional {_scalar(field)}" if field.proto3_optional else _scalar(field)


def _scalar(field: Field) -> str:
    if field.type_name:
        return f"`{_short(field.type_name)}`"
    return Field.Type.Name(field.type).removeprefix("TYPE_").lower()


def _group(field: Field, message: descriptor_pb2.DescriptorProto) -> str:
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return f" (one of `{message.oneof_decl[field.oneof_index].name}`)"
