"""The man page of `bbc`, of its own help texts, docs/USING.md's exit codes and the version.

python docs/make_man.py          # writes docs/bbc.1
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from bbcompress.cli import COMMANDS, main

DOCS = Path(__file__).parent
ENVIRONMENT = {
    "BBC_MODEL_PATH": "Folders with models besides the installed ones, as in PATH.",
    "BBC_DEBUG": "Where it is set, errors show where they came from.",
}


def escaped(text: str) -> str:
    """A line of text as roff has it.

    >>> print(escaped(".bbc-*"))
    \\&.bbc\\-*
    """
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def paragraphs(text: str) -> Iterator[str]:
    """A help text; after the mark of click's that says so, lines stay as they are."""
    for paragraph in text.split("\n\n"):
        lines = [line.strip() for line in paragraph.strip().split("\n")]
        if lines[0] == "\b":
            yield from (".PP", ".nf", ".RS", *map(escaped, lines[1:]), ".RE", ".fi")
        else:
            yield from (".PP", escaped(" ".join(lines)))


def value_of(option: click.Option) -> str:
    """What an option takes."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.metavar or {"integer range": "N", "integer": "N", "float range": "X", "float": "X"}.get(
        option.type.name, option.type.name.upper()
    )


def default_of(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return f" Default: {option.show_default}."
    return f" Default: {option.default}." if option.show_default else ""


def option_lines(option: click.Option) -> Iterator[str]:
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in [*option.opts, *option.secondary_opts])
    value = value_of(option)
    yield ".TP"
    yield f"{names} \\fI{escaped(value)}\\fR" if value else names
    yield escaped((option.help or "") + default_of(option))


def command_lines(name: str, command: click.Command) -> Iterator[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    usage = " ".join(one.metavar or (one.name or "").upper() for one in arguments)
    yield f".SS bbc {escaped(name)} [OPTION...] {escaped(usage)}"
    yield from paragraphs(command.help or "")
    for option in command.params:
        if isinstance(option, click.Option):
            yield from option_lines(option)


def exit_codes() -> Iterator[tuple[str, str]]:
    for line in (DOCS / "USING.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0].isdigit():
            yield cells[0], cells[1].replace("`", "")


def man_page() -> str:
    """All of it."""
    context = click.Context(main)
    lines = [f'.TH BBC 1 "" "bbcompress {version("bbcompress")}"', ".SH NAME", "bbc \\- lossless image compression"]
    lines += [".SH SYNOPSIS", ".B bbc", "COMMAND [OPTION...] [ARGUMENT...]", ".SH DESCRIPTION"]
    lines += paragraphs(main.help or "")
    lines.append(".SH COMMANDS")
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        lines += command_lines(name, command)
    for title, entries in (("EXIT STATUS", exit_codes()), ("ENVIRONMENT", ENVIRONMENT.items())):
        lines.append(f".SH {title}")
        for term, text in entries:
            lines += [".TP", f"\\fB{term}\\fR", escaped(text)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "bbc.1").write_text(man_page(), "utf-8")
