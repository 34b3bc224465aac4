"""What is asked of compressing, and what is said of it afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bbcompress.archive.errors import UnfitModel
from bbcompress.archive.forms import misfit
from bbcompress.archive.payload import BitsBack, Payload, Tiles
from bbcompress.codec.refine import Method as RefineMethod
from bbcompress.codec.registry import Registry
from bbcompress.images.picture import Item, KeptFile, Picture
from bbcompress.progress import Progress

SEGMENT_PIXELS = 1 << 19
"""By `benchmarks/segments.py`, 2,000 binary digits: 0.8 % more than in one segment, at 2.5 instead of 5.6 s an access;
in segments of 2^17 pixels 6.6 % more, at 0.5 s."""
MAX_SEGMENT_PIXELS = 1 << 23
"""So that a segment's tiles are fewer than `MAX_CHAIN_IMAGES`."""
KEPT = "kept as files"
"""The method of these in a summary."""


def silent(text: str) -> None:
    """For where nobody asks."""


@dataclass(frozen=True)
class Options:
    """How to compress."""

    refine_steps: int = 0
    model: Path | None = None
    """File of the one model to use where it fits, which it must for one picture; None tries all that fit and keeps the
    smallest."""
    check: bool = True
    """Decode everything written, and compare."""
    refine_method: RefineMethod = RefineMethod.NATURAL
    effort: int = 2
    """1: predictors alone, which are quick, for all pictures that they can code; 2: what is promising is tried."""
    segment_pixels: int = SEGMENT_PIXELS
    """Pixels of a segment, unless one picture has more: what is decoded for any of its pictures, and held in memory."""
    report: Callable[[str], object] = silent
    """Told what was chosen, and why."""
    progress: Progress = field(default_factory=Progress)
    """Told of pixels that are coded and checked."""


@dataclass
class Summary:
    """What was made, for reports."""

    images: int = 0
    """With kept files."""
    subpixels: int = 0
    net_bits: float = 0.0
    """The cost of the symbols alone, as the paper counts."""
    total_bytes: int = 0
    """The whole file."""
    methods: dict[str, int] = field(default_factory=dict)
    """Images by the model's name, or `stored`, or `KEPT`."""
    refinable: int = 0
    """Images coded with latents, which refinement steps can make smaller."""
    kept: dict[str, int] = field(default_factory=dict)
    """Kept files by the reason."""

    @staticmethod
    def of(name: str, items: Sequence[Item], net_bits: float, payload: Payload) -> "Summary":
        """Of items that `payload` holds, coded by the model or method `name`."""
        kept: dict[str, int] = {}
        for item in items:
            if isinstance(item, KeptFile):
                kept[item.reason] = kept.get(item.reason, 0) + 1
        return Summary(
            images=len(items),
            subpixels=sum(item.pixels.size for item in items if isinstance(item, Picture)),
            net_bits=net_bits,
            methods={name: len(items)},
            refinable=len(items) if isinstance(payload, (BitsBack, Tiles)) else 0,
            kept=kept,
        )

    def add(self, other: "Summary") -> None:
        """Count what the other counted too."""
        self.images += other.images
        self.subpixels += other.subpixels
        self.net_bits += other.net_bits
        self.total_bytes += other.total_bytes
        self.refinable += other.refinable
        for mine, theirs in ((self.methods, other.methods), (self.kept, other.kept)):
            for key, count in theirs.items():
                mine[key] = mine.get(key, 0) + count

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why files were kept and how many, the most frequent first."""
        return sorted(self.kept.items(), key=lambda found: (-found[1], found[0]))

    @property
    def net_bits_per_dim(self) -> float:
        return self.net_bits / max(1, self.subpixels)

    @property
    def total_bits_per_dim(self) -> float:
        return 8 * self.total_bytes / max(1, self.subpixels)


def pixels_of(items: Sequence[Item]) -> int:
    """How many pixels pictures have together; of a kept file, a byte counts as one."""
    return sum(item.width * item.height if isinstance(item, Picture) else len(item.data) for item in items)


def unfit_model(item: Item, fits: bool, registry: Registry, options: Options) -> UnfitModel | None:
    """Why the model that was asked for does not fit a picture or file, or None where it `fits` or none was."""
    if options.model is None or fits:
        return None
    info = next(header.info for path, header in registry.headers() if path == options.model)
    if isinstance(item, KeptFile):
        return UnfitModel(f"the model {info.name} is for pictures, and this file is kept as it is: {item.reason}")
    return UnfitModel(misfit(item, info))
