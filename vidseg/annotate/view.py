"""What the page reads: the snapshot, the masks of a range, the timeline, the ranking. JSON values from the project."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from . import events, review
from .guards import need_object, need_range, need_video
from .project import Project
from .refused import Refused
from .rows import VideoInfo, is_stale

PROTOCOL = 1
MAX_FRAMES, MAX_MASKS = 512, 4000


def video_json(project: Project, video: VideoInfo) -> dict[str, Any]:
    """A video as the page knows it, without its objects."""
    status, message = project.video_status(video.id)
    fps = video.fps or 25.0
    return {
        "id": video.id, "name": video.name, "size": list(video.size), "frames": video.frames, "fps": video.fps,
        "duration": round(float(video.times[-1] - video.times[0]) + 1 / fps, 6) if video.frames else 0.0,
        "fingerprint": video.fingerprint, "status": status, "message": message,
        "share_reviewed": round(project.share_reviewed(video.id), 4),
    }  # fmt: skip


def snapshot(project: Project, *, model: dict[str, Any], jobs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Everything that a freshly loaded page needs, except pictures, masks and timelines."""
    with project.store.lock:
        videos = []
        for video in project.videos():
            objects = [known.to_json() for known in project.objects(video.id)]
            videos.append({**video_json(project, video), "objects": objects})
        classes = {known["class"]: None for video in videos for known in video["objects"] if known["class"]}
        return {
            "protocol": PROTOCOL, "revision": project.store.revision, "project": project.path.name,
            "vidseg": version("vidseg"), "model": model, "videos": videos, "classes": list(classes),
            "settings": project.settings(), "history": events.history(project), "jobs": list(jobs),
        }  # fmt: skip


def annotation(
    project: Project, video: int, *, start: int, stop: int, objects: Sequence[int] | None = None
) -> dict[str, Any]:
    """Masks and prompts of a range of frames."""
    need_range(project, video, start, stop)
    if stop - start > MAX_FRAMES:
        raise Refused("bad_request", f"{stop - start} frames were asked for; at most {MAX_FRAMES} at a time")
    with project.store.lock:
        known = {one.id: project.anchors(video, one.id) for one in project.objects(video)}
        wanted = set(known) if objects is None else set(objects)
        masks = [mask for mask in project.masks(video, start=start, stop=stop) if mask.object in wanted]
        if len(masks) > MAX_MASKS:
            raise Refused("bad_request", f"these frames have {len(masks)} masks; at most {MAX_MASKS} at a time")
        prompts = [one for one in project.prompts(video, start=start, stop=stop) if one.object in wanted]
        return {
            "video": video, "start": start, "stop": stop, "revision": project.store.revision,
            "masks": [mask.to_json(stale=is_stale(mask, known[mask.object])) for mask in masks],
            "prompts": [prompt.to_json() for prompt in prompts],
        }  # fmt: skip


def timeline(project: Project, video: int) -> dict[str, Any]:
    """One lane an object: where it is visible, prompted, reviewed, stale, and how sure and suspicious each frame is."""
    info = need_video(project, video)
    with project.store.lock:
        lanes = [_lane(project, info, known.id) for known in project.objects(video)]
        return {
            "video": video, "frames": info.frames, "revision": project.store.revision,
            "share_reviewed": round(project.share_reviewed(video), 4), "objects": lanes,
        }  # fmt: skip


def _lane(project: Project, video: VideoInfo, object: int) -> dict[str, Any]:
    known = project.anchors(video.id, object)
    lane = project.lane(video.id, object)
    stale = lane.stale(known)
    return {
        "object": object,
        "prompted": list(known.frames),
        "edited": lane.where(lane.edited),
        "imported": lane.where(lane.imported),
        "visible": lane.spans(lane.area > 0),
        "computed": lane.spans(lane.area >= 0),
        "accepted": lane.spans(lane.accepted),
        "rejected": lane.spans(lane.rejected),
        "stale": lane.spans(stale),
        "confidence": review.percent(lane, lane.confidence, video.frames),
        "suspicion": review.percent(lane, review.doubt(review.signs(lane, stale)), video.frames),
    }


def _suspects(
    project: Project, video: int, *, limit: int, object: int | None = None, but: int | None = None
) -> list[review.Suspect]:
    """Return the most suspicious unreviewed masks of a video (of one object)."""
    need_video(project, video)
    if object is not None:
        need_object(project, video, object, unlocked=False)
    lanes = []
    with project.store.lock:
        for known in project.objects(video):
            if object in (None, known.id):
                lane = project.lane(video, known.id)
                told = project.anchors(video, known.id)
                lanes.append(review.Annotated(known.id, lane, lane.stale(told), told.prompts))
    return review.worst(lanes, limit=limit, but=but)


def ranking(project: Project, video: int, *, limit: int = 50, object: int | None = None) -> dict[str, Any]:
    """The frames most likely to be wrong among those not reviewed, worst first."""
    found = _suspects(project, video, limit=limit, object=object)
    share = round(project.share_reviewed(video), 4)
    return {"frames": [one.to_json() for one in found], "share_reviewed": share}


def following(
    project: Project, video: int, *, frame: int | None = None, object: int | None = None, anywhere: bool = False
) -> dict[str, Any]:
    """The frame to look at next: the worst unreviewed one, not the one that is being looked at if there is another.

    With `anywhere` it is the one of all videos whose correction would mend the most.
    """
    found = [(video, one) for one in _suspects(project, video, limit=1, object=object, but=frame)]
    if anywhere:
        others = [known.id for known in project.videos() if known.id != video]
        found += [(other, one) for other in others for one in _suspects(project, other, limit=1)]
    if not found:
        share = round(project.share_reviewed(video), 4)
        return {"video": video, "frame": None, "object": None, "suspicion": 0.0, "reasons": [], "share_reviewed": share}
    where, worst = min(found, key=lambda one: ((one[0], one[1].frame) == (video, frame), -one[1].worth))
    return {"video": where, **worst.to_json(), "share_reviewed": round(project.share_reviewed(where), 4)}
