"""TOML files of settings to dataclasses of them, every setting of its kind and in its range."""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import CodecError

_AT_LEAST_ONE = ("steps", "batch", "latent_channels", "masks", "channels", "depth", "photographs")
_SHARES = ("decay", "average", "random_share")

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], path: str | Path) -> Settings:
    """Read a TOML file whose keys are the fields of a dataclass.

    Args:
        kind: the dataclass; fields without a default must be in the file.
        path: of the file.

    Raises:
        CodecError: for a file that cannot be read, and for settings that are unknown, missing,
            or not what :func:`check_settings` wants.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CodecError(f"cannot read settings {path}: {error.strerror}") from error
    except ValueError as error:
        raise CodecError(f"cannot read settings {path}: {error}") from error
    known: tuple[Any, ...] = fields(kind)  # type: ignore[arg-type]
    unknown = found.keys() - {each.name for each in known}
    if unknown:
        raise CodecError(f"{path}: unknown settings: {', '.join(sorted(unknown))}")
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in required if name not in found]
    if missing:
        raise CodecError(f"{path}: settings are missing: {', '.join(missing)}")
    settings = kind(**found)
    try:
        check_settings(settings)
    except CodecError as error:
        raise CodecError(f"{path}: {error}") from None
    return settings


def check_settings(settings: Any) -> None:
    """Make sure that every field of a dataclass is of its kind, finite and not negative.

    Raises:
        CodecError: for the first that is not; also where a number that must be 1 or more is 0,
            or a share is above 1.
    """
    for each in fields(settings):
        value, kind = getattr(settings, each.name), str(each.type)
        whole = isinstance(value, int) and not isinstance(value, bool)
        fitting = {
            "int": whole,
            "float": whole or isinstance(value, float),
            "bool": isinstance(value, bool),
            "str": isinstance(value, str),
            "list[int]": isinstance(value, list) and all(type(n) is int for n in value),
        }
        if not fitting.get(kind, True):
            raise CodecError(f"{each.name} is of type {kind}, not {value!r}")
        if kind not in ("int", "float"):
            continue
        if each.name in _AT_LEAST_ONE and value < 1:
            raise CodecError(f"{each.name} is 1 or more, not {value}")
        most = 1.0 if each.name in _SHARES else math.inf
        if not 0 <= value <= most or math.isinf(value):
            allowed = "from 0 to 1" if most == 1 else "0 or more"
            raise CodecError(f"{each.name} is {allowed}, not {value}")
