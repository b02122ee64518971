"""The annotator: a project on disk, a live session with a model, and the server of its page.

Importing this loads neither torch nor the server.
"""

from .project import Project
from .refused import Refused
from .rows import MaskInfo, ObjectInfo, PromptInfo, VideoInfo
from .session import Session, open_session

__all__ = ["MaskInfo", "ObjectInfo", "Project", "PromptInfo", "Refused", "Session", "VideoInfo", "open_session"]
