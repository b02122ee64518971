"""Every exception that vidseg raises on purpose.

    VidsegError
    ├── PromptError       a click, box or mask that cannot be used
    ├── VideoError        a source that cannot be opened, read or written
    ├── MaskFormatError   a mask file or annotation that does not say what it should
    ├── WeightsError      a checkpoint that is missing, damaged, unsafe or of another model
    ├── ConfigError       a setting that is unknown or out of range
    ├── DataError         training or evaluation data that cannot be used
    └── ProjectError      an annotation project that cannot be opened or changed that way

A message says what is wrong with the value, what was expected and what to do, in one line.
"""


class VidsegError(Exception):
    """Base of all errors a user can cause; the command line prints them as one line."""


class PromptError(VidsegError):
    """A prompt that cannot be used: outside the frame, of the wrong size, for no object."""


class VideoError(VidsegError):
    """A video source that cannot be opened, decoded or written."""


class MaskFormatError(VidsegError):
    """A mask file or annotation that does not follow its format."""


class WeightsError(VidsegError):
    """A checkpoint that is missing, damaged, unsafe or belongs to another model."""


class ConfigError(VidsegError):
    """A configuration value that is unknown, of the wrong type or out of range."""


class DataError(VidsegError):
    """Labelled data that cannot be used for training or evaluation."""


class ProjectError(VidsegError):
    """An annotation project that cannot be opened, or a change to it that makes no sense."""


def needs_extra(package: str, extra: str) -> VidsegError:
    """The error for a missing optional package: names the exact install line.

    `package` is what could not be imported, `extra` the vidseg extra that brings it.
    """
    return VidsegError(f"{package} is not installed; run: pip install 'vidseg[{extra}]'")
