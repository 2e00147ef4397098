"""Fields from a file, checked by pydantic against a dataclass: what is wrong is a sentence with field and value.

A dataclass says what its fields must be with its type hints, which are taken strictly (a text is no number, true is no
1), and with `Must` where a type does not say all. pydantic is imported when something is checked, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from engine.errors import UserError, shortened

if TYPE_CHECKING:
    from pydantic import BaseModel, GetCoreSchemaHandler

T = TypeVar("T")
NAMES: dict[Any, tuple[str, str]] = {  # of a type: one value, several
    str: ("a text", "texts"),
    bool: ("true or false", "truth values"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
}
MISSING_FIELD = "missing"  # as pydantic calls that error


@dataclass(frozen=True)
class Must:
    """For Annotated hints: `allows` says whether a value will do, and `wanted` completes "It must be ..."."""

    allows: Callable[[Any], object]
    wanted: str

    @classmethod
    def be_one_of(cls, choices: Sequence[str]) -> Must:
        return cls(lambda value: value in choices, f"one of: {', '.join(choices)}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        from pydantic import AfterValidator

        return AfterValidator(self._check).__get_pydantic_core_schema__(source, handler)

    def _check(self, value: Any) -> Any:
        if value is not None and not self.allows(value):
            raise ValueError(self.wanted)
        return value


def checked(kind: type[T], values: Mapping[str, Any], what: str, where: str, **others: Any) -> T:
    """The dataclass `kind` with the fields `values` of a file, and with `others`, which a file cannot give.

    Lists are taken where the dataclass has a tuple. `what` and `where` name the place in sentences, as in "The pair
    mine in a.toml" and "of the pair mine in a.toml".

    Raises:
        UserError: a field is unknown or missing, or its value cannot be.
    """
    from pydantic import ValidationError

    cls: Any = kind
    hints = _hints(cls)
    known = [name for name in hints if name not in others]
    for name in values:
        if name not in known:
            raise UserError(f"{what} has an unknown field {shortened(name)}. Known: {', '.join(known)}.")
    given = {
        name: tuple(value) if isinstance(value, list) and _base(hints[name]) is tuple else value
        for name, value in values.items()
    }
    try:
        model = _model(cls).model_validate({**given, **others})
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda problem: problem["type"] == MISSING_FIELD)
        name = str(first["loc"][0])
        if name not in values:
            raise UserError(f"{what} lacks the field {name!r}.") from error
        raise UserError(f"{name} {where} is {shortened(values[name])}. It must be {_wanted(hints[name])}.") from error
    return kind(**{name: getattr(model, name) for name in model.model_fields_set})


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def _model(kind: Any) -> type[BaseModel]:
    """A pydantic model with the fields of a dataclass; what a field defaults to is the dataclass's own matter."""
    from pydantic import ConfigDict, create_model

    hints = _hints(kind)
    optional = {field.name for field in fields(kind) if (field.default, field.default_factory) != (MISSING, MISSING)}
    definitions: dict[str, Any] = {name: (hints[name], None if name in optional else ...) for name in hints}
    config = ConfigDict(strict=True, arbitrary_types_allowed=True)
    model: type[BaseModel] = create_model(kind.__name__, __config__=config, **definitions)
    return model


def _base(hint: Any) -> Any:
    """The class of a hint, without what it is annotated with and without None."""
    if get_origin(hint) is Annotated:
        return _base(get_args(hint)[0])
    alternatives = [part for part in get_args(hint) if part is not NoneType]
    if NoneType in get_args(hint) and len(alternatives) == 1:
        return _base(alternatives[0])
    return get_origin(hint) or hint


def _wanted(hint: Any) -> str:
    """What a value must be, as the end of a sentence."""
    for note in getattr(hint, "__metadata__", ()):
        if isinstance(note, Must):
            return note.wanted
    base, parts = _base(hint), get_args(hint)
    if base is tuple:
        return f"a list of {NAMES[parts[0]][1]}"
    if base in NAMES:
        return NAMES[base][0]
    return "a table" if is_dataclass(base) else f"a table of {NAMES[parts[1]][1]}"
