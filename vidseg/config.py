"""Settings files: YAML in, a checked frozen dataclass out, and back.

A dataclass says which settings exist, their types and their defaults; the file says what a person changed. A key
that the dataclass lacks, a value of another type and a line that is not YAML are each named with the file, the
place in it and what was expected. No registry, no inheritance between files, no interpolation.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vidseg.errors import ConfigError

Schema = TypeVar("Schema")


def read_config(path: str | Path, schema: type[Schema], *, changes: Sequence[str] = ()) -> Schema:
    """Read the YAML file `path` into the dataclass `schema`.

    `changes` are `key=value` strings, applied on top of the file; a dot steps into a nested setting
    (`optimiser.rate=3e-4`), and the value is read as YAML.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a value of the wrong type, a missing required one.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}; give the path of a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {_kind(values)}; expected `key: value` lines")
    for change in changes:
        values = _changed(values, change)
    return from_dict(schema, values, where=str(path))


def from_dict(schema: type[Schema], values: Mapping[str, Any], *, where: str = "config") -> Schema:
    """Build the dataclass `schema` from plain `values`, checking every key and type; `where` begins the messages.

    Raises:
        ConfigError: an unknown key, a value of the wrong type, or a missing required one.
    """
    hints = typing.get_type_hints(schema)
    fields = {field.name: field for field in dataclasses.fields(schema) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: unknown setting {key!r}{_did_you_mean(str(key), fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{where}: the setting {name!r} is missing and has no default; add it")
    checked = {key: _checked(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    return schema(**checked)


def to_dict(config: Any) -> Any:
    """`config` as plain dicts, lists, numbers and strings: what `from_dict` reads back to an equal value."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: to_dict(getattr(config, field.name)) for field in dataclasses.fields(config) if field.init}
    if isinstance(config, Mapping):
        return {key: to_dict(value) for key, value in config.items()}
    if isinstance(config, (tuple, list)):
        return [to_dict(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def write_config(config: Any, path: str | Path) -> None:
    """Write every setting of `config`, defaults included, as YAML; written beside and renamed, never half."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    part.write_text(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(part, path)


def _changed(values: dict[str, Any], change: str) -> dict[str, Any]:
    """`values` with one `a.b=value` applied; the original is left as it was."""
    name, equals, text = change.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"cannot read the change {change!r}; expected KEY=VALUE, such as seed=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"cannot read the value of {change!r} as YAML; put it in quotes") from None
    head, dot, rest = name.strip().partition(".")
    if dot:
        inner = values.get(head) or {}
        if not isinstance(inner, dict):
            raise ConfigError(f"cannot apply {change!r}: {head} holds {_kind(inner)}, not named settings")
        value = _changed(inner, f"{rest}={text}")
    return {**values, head: value}


def _checked(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`, or a ConfigError that begins with `where`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _checked_union(arguments, value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}; expected one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        return _checked_tuple(arguments, value, where)
    if origin in (dict, Mapping) or hint is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {_kind(value)}; expected `name: value` lines")
        inner = arguments[1] if arguments else Any
        return {str(key): _checked(inner, item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {_kind(value)}; expected `name: value` lines")
        return from_dict(hint, value, where=where)  # type: ignore[arg-type]
    return _checked_plain(hint, value, where)


def _checked_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    choices = [argument for argument in arguments if argument is not type(None)]
    for choice in choices[:-1]:
        try:
            return _checked(choice, value, where)
        except ConfigError:
            continue
    return _checked(choices[-1], value, where)


def _checked_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where} is {_kind(value)}; expected a list in square brackets or of `-` lines")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_checked(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise ConfigError(f"{where} has {len(value)} values; expected {len(arguments)}")
    return tuple(
        _checked(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _checked_plain(hint: Any, value: Any, where: str) -> Any:
    """Numbers, strings, bools and paths. YAML reads `1e-3` as a string, so a float may be spelled that way."""
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    elif (hint in (str, Path)) and isinstance(value, (str, Path)):
        return hint(value)
    elif hint is bool and isinstance(value, bool):
        return value
    names = {float: "a number", int: "a whole number", str: "text", bool: "true or false", Path: "a path"}
    raise ConfigError(f"{where} is {_kind(value)}; expected {names.get(hint, str(hint))}")


def _kind(value: Any) -> str:
    """A value as an error message shows it."""
    if value is None:
        return "empty"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return "a group of settings"
    return repr(value)


def _did_you_mean(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
