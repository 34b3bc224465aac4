"""The `bbc` command. Each subcommand's module is imported when it is called, so `bbc --help` stays quick."""

import logging
import os
from importlib import import_module
from typing import Any

import click

from bbcompress.cli.errors import errors_as_exit_codes, open_missing_streams, signals_as_errors
from bbcompress.cli.terminal import Warnings
from bbcompress.memory import return_large_arrays

COMMANDS = {
    "compress": "Compress images into a file.",
    "append": "Add images to an archive.",
    "decompress": "Bring back the images of a file.",
    "list": "List the images of a file.",
    "extract": "Bring back some images of a file.",
    "info": "Say what a file holds.",
    "test": "Check that a file decodes to what was compressed.",
    "models": "List the installed models.",
    "train": "Train a model on images of your own.",
    "fit-encoder": "Train a new encoder for the decoder of a VAE.",
    "diagnose": "Say whether a VAE's encoder or decoder overfits.",
    "bench": "Compare numbers of refinement steps: bytes and time.",
}


class _Commands(click.Group):
    """Subcommands by name, each the `command` of the module of that name. No error leaves as a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        open_missing_streams()
        logging.getLogger("bbcompress").handlers = [Warnings()]
        with signals_as_errors(), errors_as_exit_codes():
            code = super().main(*args, **{**options, "standalone_mode": False})
        raise SystemExit(code or 0)

    def invoke(self, ctx: click.Context) -> Any:
        return_large_arrays()
        with errors_as_exit_codes():  # before click makes something else of them
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # `list` is a subcommand's module here

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"bbcompress.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bbcompress", prog_name="bbc")
def main() -> None:
    """Lossless image compression: the same pixels on every machine.

    \b
    bbc compress photo.png -o photo.bb
    bbc decompress photo.bb -o photo.png
    bbc compress scans/ -o scans.bb
    bbc extract scans.bb 7.png

    `bbc COMMAND --help` has the options of each.
    """


def run() -> None:
    """The program. It ends as soon as all is written: to take everything apart takes Python a while."""
    try:
        main()
    except SystemExit as end:
        # `main` has flushed what is buffered, and what it started is stopped
        os._exit(end.code if isinstance(end.code, int) else 1)
