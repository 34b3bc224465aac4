"""What can go wrong with an archive. Messages are one line; the caller adds the file's name as `source`."""


class ArchiveError(ValueError):
    """An archive cannot be read."""

    source = ""


class DamagedArchive(ArchiveError):
    """The bytes are not what was written: damaged, cut short, or no archive at all."""


class UnsupportedArchive(ArchiveError):
    """Intact, but of a later version or with a method that this version does not know."""


class MissingModel(ArchiveError):
    """Intact, but the model it was written with is not installed."""


class UnfitModel(ArchiveError):
    """The model that was asked for cannot code the pictures."""


class ArchiveLimit(ArchiveError):
    """It declares more than this version will take on."""


class NoSuchImage(ArchiveError, LookupError):
    """It holds no image of this name or number."""


class NameTaken(ArchiveError):
    """The archive has a picture of a name that is to be added."""
