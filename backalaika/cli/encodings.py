"""Encodings, as switches of commands take them."""

from __future__ import annotations

import click


class Encoding(click.ParamType):  # type: ignore[type-arg]
    """The name of an encoding of text that there is."""

    name = "encoding"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, unless there is no such encoding."""
        try:
            # No bytes at all would be decoded in any; and hex or zip are known, but of bytes, as decode then tells.
            b"a".decode(value)
        except UnicodeError as error:  # undefined, which refuses all; or idna, which is not for whole names
            self.fail(f"{value!r} decodes no names ({error}); there are cp437, cp866, cp1252 and others", param, ctx)
        except LookupError:
            self.fail(f"{value!r} is no encoding; there are cp437, cp866, cp1252, shift_jis and others", param, ctx)
        return value


encoding_option = click.option(
    "--encoding", type=Encoding(), help="In which to read names in old zips whose encoding was guessed: cp866, cp1252."
)
