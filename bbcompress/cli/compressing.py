"""What `bbc compress` and `bbc append` share: their options, and what these ask for."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bbcompress.cli.common import (
    ANY_FILE,
    MAX_REFINE_STEPS,
    MAX_SEGMENT_PIXELS,
    SEGMENT_PIXELS,
    Function,
    engine_options,
    installed_models,
    max_pixels_option,
    model_files,
    refine_method_option,
    registry_and_model,
)
from bbcompress.cli.terminal import note

if TYPE_CHECKING:
    from bbcompress.archive.compress import Encode, Options, Summary
    from bbcompress.archive.encode_job import Encoded
    from bbcompress.archive.jobs import Input, Job
    from bbcompress.cli.inputs import Inputs
    from bbcompress.codec.registry import Registry
    from bbcompress.images.picture import Item
    from bbcompress.images.remote import Url
    from bbcompress.progress import Progress

_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--model",
        type=ANY_FILE,
        default="auto",
        show_default=True,
        metavar="NAME|FILE",
        help="The model to compress with. auto: whichever makes the smallest file.",
    ),
    click.option(
        "--refine-steps",
        type=click.IntRange(0, MAX_REFINE_STEPS),
        default=0,
        show_default=True,
        metavar="K",
        help="Optimise the latents of each image by K steps: smaller digits, slower both ways; without effect on "
        "photographs, and on single images (`bbc bench` compares).",
    ),
    refine_method_option,
    max_pixels_option,
    click.option(
        "--strip",
        is_flag=True,
        help="Leave out metadata: ICC profile, EXIF, XMP, text, resolution, gamma. What is kept as a file keeps them.",
    ),
    click.option("--pixels", is_flag=True, help="Refuse files that would be kept as they are, not as pixels."),
    click.option("--check/--no-check", default=True, help="Decode what was written and compare (default: check)."),
    click.option(
        "--effort",
        type=click.IntRange(1, 2),
        default=2,
        show_default=True,
        help="1: quick, without networks; 2: smaller, with the networks of models.",
    ),
    click.option(
        "--segment-size",
        type=click.IntRange(1, MAX_SEGMENT_PIXELS),
        default=SEGMENT_PIXELS,
        show_default=True,
        metavar="PIXELS",
        help="Small images are coded together, so many pixels of them. Fewer: one image is quicker to read; more: "
        "fewer bytes. A larger image is coded by itself.",
    ),
    click.option(
        "--include", multiple=True, metavar="GLOB", help="Of folders take only files that match one of these."
    ),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Of folders leave out files and folders that match."),
    click.option(
        "--files-from",
        type=ANY_FILE,
        metavar="FILE",
        help="Also compress what is named in FILE (- for standard input), one name a line, kept with its path.",
    ),
    click.option("-0", "--null", is_flag=True, help="Names of --files-from end in zero bytes, as of find -print0."),
    click.option("--no-times", is_flag=True, help="Leave out the times of files (permissions are kept)."),
    click.option("-v", "--verbose", is_flag=True, help="Say what was chosen, and why."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and warnings."),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Have the workers of this Dask scheduler (tcp://...) compress, not this machine (docs/ARCHIVES.md).",
    ),
    engine_options,
]


def compressing_options(function: Function) -> Function:
    """The options, as the fields of `Asked`."""
    return reduce(lambda command, option: option(command), reversed(_OPTIONS), function)


@dataclass(frozen=True)
class Asked:
    """What the options say."""

    model: str
    refine_steps: int
    refine_method: str
    max_pixels: int
    strip: bool
    pixels: bool
    check: bool
    effort: int
    segment_size: int
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    files_from: str | None
    null: bool
    no_times: bool
    verbose: bool
    quiet: bool
    scheduler: str | None
    engine: str
    threads: int

    def options(self, progress: "Progress") -> "tuple[Registry, Options]":
        """The models, and how to compress."""
        from bbcompress.archive.compress import Options
        from bbcompress.codec.refine import Method

        registry, chosen = registry_and_model(self.model, self.engine, self.threads)
        method = Method[self.refine_method.upper()]
        options = Options(
            self.refine_steps, chosen, self.check, method, self.effort, self.segment_size, progress=progress
        )
        if self.verbose:
            registry.engine.report = note
            options = replace(options, report=note)
        return registry, options

    @contextlib.contextmanager
    def listed(
        self, images: tuple[str, ...], output: str, registry: "Registry", options: "Options"
    ) -> "Iterator[Inputs]":
        """What the arguments and the list name, to be read within; says what is left out. Raises where `output` is one
        of the files."""
        from bbcompress.cli.arrays import reason_to_keep
        from bbcompress.cli.globs import Globs
        from bbcompress.cli.inputs import listed_images, names_in

        names = names_in(self.files_from, self.null) if self.files_from is not None else []
        listed = listed_images(images, Globs(self.include, self.exclude), names)
        with contextlib.closing(listed):
            if any(file.path and _is_same(file.path, output) for file in listed.files):
                raise click.UsageError(f"{output} is one of the images; name another file")
            for line in listed.left_out:
                note(f"bbc: warning: {line}")
            if not self.pixels:
                listed.keep_arrays(
                    partial(reason_to_keep, max_pixels=self.max_pixels, registry=registry, options=options)
                )
            yield listed

    def inputs(self, listed: "Inputs") -> "Iterator[Input]":
        """The files, to be read."""
        from bbcompress.cli.reading import Reading, inputs

        return inputs(listed.files, Reading(self.strip, self.pixels, self.max_pixels))

    def encode(self, registry: "Registry", options: "Options") -> "Encode":
        """Encodes on so many cores, or a cluster; says of what keeps its metadata though they were to be left out."""
        from bbcompress.archive.spread import spread

        encode = spread(registry.opener(), options, self.threads)
        if self.scheduler is not None:
            encode = self._elsewhere(self.scheduler, options)

        def noting(jobs: "Iterable[Job]") -> "Iterator[Encoded]":
            for encoded in encode(jobs):
                for name, reason in encoded.kept:
                    self._note_kept(name, reason)
                yield encoded

        return noting

    def _elsewhere(self, scheduler: str, options: "Options") -> "Encode":
        from bbcompress.archive.cluster import over_cluster
        from bbcompress.archive.job_encoder import JobEncoder
        from bbcompress.cli.reading import sent

        files = [file.resolve() for file in model_files(self.model)]
        if options.model is not None:
            options = replace(options, model=options.model.resolve())
        encode = over_cluster(
            scheduler, JobEncoder.of(partial(installed_models, self.engine, files=files), options), options
        )
        return lambda jobs: encode(map(sent, jobs))

    def note_kept(self, name: str, item: "Item") -> None:
        """The same of one."""
        from bbcompress.images.picture import KeptFile

        if isinstance(item, KeptFile):
            self._note_kept(name, item.reason)

    def note_summary(self, output: str, summary: "Summary") -> None:
        """Say what was made."""
        if self.refine_steps and not summary.refinable:
            note("bbc: --refine-steps has no effect here: nothing was coded with latents")
        if self.quiet:
            return
        methods = ", ".join(f"{count} {name}" for name, count in sorted(summary.methods.items()))
        line = f"{output}: {summary.total_bytes} bytes for {summary.images} images ({methods})"
        if not summary.kept:
            line += f": {summary.total_bits_per_dim:.4f} bits/dim, {summary.net_bits_per_dim:.4f} net"
        note(line)
        for reason, count in summary.reasons:
            note(f"kept as a file: {reason}" if count == 1 else f"{count} kept as files: {reason}")

    def _note_kept(self, name: str, reason: str) -> None:
        if self.strip:
            note(f"{name}: kept as a file ({reason}), with its metadata")


def _is_same(path: "Path | Url", output: str) -> bool:
    if not isinstance(path, Path):
        return str(path) == output
    try:
        return path.samefile(output)
    except OSError:  # there is no output yet, or it is standard output
        return False
