"""The exception tree: every error a user can cause or meet says what happened, to which thing, and what to do.

GeoMeldError
├── UsageError              the words were wrong: exit code 2
│   ├── ConfigError         a configuration field does not exist or has a bad value
│   ├── AnchorError         an anchors file or a coordinate cannot be used
│   └── MissingExtra        an optional dependency is not installed
├── DatasetError            a folder is no dataset, or its parts contradict each other
│   └── CorruptFile         bytes are truncated or damaged
├── SourceError             pixels could not be had; `kind` says in one word why
│   ├── MissingProduct      the source does not hold this product at all
│   ├── TransientError      "transient": trying again may help
│   ├── AuthError           "auth": refused; a fresh token may help
│   ├── MissingAsset        "missing": the file that was named is not there
│   ├── CorruptAsset        "corrupt": the file that was named cannot be decoded
│   └── EmptyLayer          "empty": there is nothing to see, or no scene at all
├── CaptionError            no caption could be written
├── CheckpointError         a checkpoint folder cannot be read, or holds another model
├── TrainingError           training cannot go on (a loss that is not finite)
└── Terminated              SIGTERM, after everything was saved: exit code 143
"""


class GeoMeldError(Exception):
    """Something the user should read; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(GeoMeldError):
    """The command or the call was given something it cannot use."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration field does not exist or has a value outside its range."""


class AnchorError(UsageError):
    """An anchors file or one of its coordinates cannot be used."""


class MissingExtra(UsageError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class DatasetError(GeoMeldError):
    """A folder is no dataset, or its parts contradict each other."""


class CorruptFile(DatasetError):
    """A file's bytes are truncated or damaged."""


class SourceError(GeoMeldError):
    """Pixels or map features could not be had from a source."""

    kind = "other"
    """Why, in one word: the column `kind` of the build's ledger."""
    again = False
    """Whether the same request may succeed later; only then is it tried again."""
    tries = 1
    """How often it was tried before this was raised."""


class MissingProduct(SourceError):
    """The source does not hold this product at all."""

    kind = "missing"


class TransientError(SourceError):
    """The request failed in a way that trying again may cure."""

    kind = "transient"
    again = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """`retry_after`: seconds that the server asked to wait for, where it did."""
        super().__init__(message)
        self.retry_after = retry_after


class AuthError(SourceError):
    """The request was refused: no login, or a signature or token that is wrong or has expired."""

    kind = "auth"
    again = True


class MissingAsset(SourceError):
    """An asset that was named is not there."""

    kind = "missing"


class CorruptAsset(SourceError):
    """An asset was found and cannot be decoded."""

    kind = "corrupt"


class EmptyLayer(SourceError):
    """What was read holds no valid pixel, or there is nothing to read."""

    kind = "empty"


class CaptionError(GeoMeldError):
    """No caption could be written or verified."""


class CheckpointError(GeoMeldError):
    """A checkpoint folder cannot be read, or holds another model than the one asked for."""


class TrainingError(GeoMeldError):
    """Training cannot go on; the message names the step and the term."""


class Terminated(GeoMeldError):
    """The run was asked to end (SIGTERM), and has saved its state."""

    exit_code = 143
