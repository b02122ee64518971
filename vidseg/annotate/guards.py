"""What every gesture asks first: does it exist, may it be changed, would it overwrite what was accepted?"""

from __future__ import annotations

from collections.abc import Iterable

from .project import Project
from .refused import Refused
from .rows import ObjectInfo, PromptInfo, VideoInfo

SHOWN = 100  # accepted frames that a refusal names


def need_video(project: Project, video: int) -> VideoInfo:
    """Return the video; raises Refused("not_found")."""
    if all(known.id != video for known in project.videos()):
        raise Refused("not_found", f"there is no video {video} in this project")
    return project.video(video)


def need_frame(project: Project, video: int, frame: int) -> VideoInfo:
    """Return the video if it has that frame; raises Refused("not_found")."""
    known = need_video(project, video)
    if not 0 <= frame < known.frames:
        raise Refused(
            "not_found",
            f"frame {frame} is past the end of {known.name} ({known.frames} frames, 0-{known.frames - 1})",
        )
    return known


def need_inside(video: VideoInfo, x: float, y: float) -> None:
    """Raise Refused("bad_request") unless a point lies on the picture, its right and lower edge included."""
    height, width = video.size
    if not (0 <= x <= width and 0 <= y <= height):
        raise Refused("bad_request", f"the point ({x:g}, {y:g}) lies outside the picture of {width}x{height} pixels")


def need_range(project: Project, video: int, start: int, stop: int) -> VideoInfo:
    """Return the video if frames `start` to `stop - 1` exist and are at least one; raises Refused."""
    known = need_video(project, video)
    if not 0 <= start < stop <= known.frames:
        raise Refused(
            "bad_request",
            f"frames {start} to {stop} are no range of {known.name}; expected 0 <= start < stop <= {known.frames}",
        )
    return known


def need_object(project: Project, video: int, number: int, *, unlocked: bool = True) -> ObjectInfo:
    """Return the object; raises Refused("not_found") or, if it is locked and must not be, Refused("locked")."""
    need_video(project, video)
    known = project.object(video, number)
    if known is None:
        raise Refused("not_found", f"there is no object {number} in {project.video(video).name}")
    if known.locked and unlocked:
        raise Refused("locked", f"{known.name} is locked; unlock it first")
    return known


def need_prompt(project: Project, video: int, number: int) -> PromptInfo:
    """Return the prompt; raises Refused("not_found")."""
    found = project.prompt(number)
    if found is None or found.video != video:
        raise Refused("not_found", f"there is no prompt {number} in video {video}")
    return found


def spare_accepted(
    project: Project, video: int, objects: Iterable[int], *, start: int, stop: int, overwrite: bool
) -> None:
    """Raise Refused("accepted"), naming the frames, if accepted masks are in the range and `overwrite` is not set."""
    if overwrite:
        return
    marks = sorted(set(objects))
    rows = project._rows(
        "SELECT DISTINCT frame FROM mask WHERE video = ? AND frame >= ? AND frame < ? AND state = 'accepted' "
        f"AND object IN ({', '.join('?' * len(marks))}) ORDER BY frame",
        video, start, stop, *marks,
    )  # fmt: skip
    frames = [row[0] for row in rows]
    if frames:
        which = f"frame {frames[0]} was" if len(frames) == 1 else f"{len(frames)} frames were"
        raise Refused(
            "accepted", f"{which} accepted; overwrite the masks there?", frames=frames[:SHOWN], count=len(frames)
        )
