"""Look into an annotation project, and work on it without the page.

vidseg project info dance.vidseg          what is in it
vidseg project check dance.vidseg         look for damage
vidseg project propagate dance.vidseg     bring all masks up to date with the prompts
vidseg project learn dance.vidseg         let the model learn from the prompted and accepted masks, then do the same
vidseg project export dance.vidseg --format coco --out masks/
vidseg project relink dance.vidseg 1 moved/dance.mp4
vidseg project simulate frames/ truth/    count the actions that a simulated user needs
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidseg.adaptation import DEFAULT
from vidseg.cli.options import add_model_arguments, load
from vidseg.errors import DataError, ProjectError

if TYPE_CHECKING:
    from vidseg.annotate import Project
    from vidseg.annotate.segmenter import Segmenter
    from vidseg.annotate.simulate import Truth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg project` and its verbs."""
    from vidseg.cli.export import add_export_arguments

    verbs = parser.add_subparsers(title="verbs", dest="project_verb", metavar="VERB", required=True)
    made = {}
    for name, text in (
        ("info", "print what is in a project"),
        ("check", "look for damage; exit code 1 if there is any"),
        ("propagate", "bring all masks up to date with the prompts"),
        ("learn", "let the model learn from the masks that were prompted, drawn or accepted; then propagate"),
        ("export", "write masks, as `vidseg export` does"),
        ("relink", "point a video of the project at the file's new place"),
    ):
        made[name] = verbs.add_parser(name, help=text, description=text)
        made[name].add_argument("project", type=Path, metavar="PROJECT", help="the project file")
    _add_simulate(verbs)
    made["info"].add_argument("--json", action="store_true", help="print JSON")
    add_export_arguments(made["export"])
    for name in ("propagate", "learn"):
        made[name].add_argument("--video", type=int, action="append", metavar="ID", help="propagate only this video")
        made[name].add_argument("--overwrite", action="store_true", help="replace accepted masks, too")
        add_model_arguments(made[name])
    made["learn"].add_argument(
        "--steps",
        type=int,
        default=DEFAULT.steps,
        metavar="N",
        help=f"steps of the optimiser (default: {DEFAULT.steps})",
    )
    made["relink"].add_argument("video", type=int, metavar="ID", help="the video, see `vidseg project info`")
    made["relink"].add_argument("path", type=Path, metavar="PATH", help="where it is now")
    made["relink"].add_argument(
        "--force", action="store_true", help="accept another content of the same size and length"
    )


def _add_simulate(verbs: Any) -> None:
    text = "count the actions that a simulated user needs; one JSON line a video and way of choosing frames"
    simulate = verbs.add_parser("simulate", help=text, description=text)
    simulate.add_argument(
        "frames", type=Path, metavar="FRAMES", help="a video whose true masks are known, or a folder of them"
    )
    simulate.add_argument(
        "truth", type=Path, metavar="TRUTH", help="folder of index PNGs (all but 0 is the object), or of such folders"
    )
    simulate.add_argument("--target", type=float, default=0.85, metavar="J", help="mean J to reach (default: 0.85)")
    simulate.add_argument("--most", type=int, default=60, metavar="N", help="actions until he gives up (default: 60)")
    simulate.add_argument(
        "--patience", type=int, default=3, metavar="N", help="clicks before he leaves a frame as it is (default: 3)"
    )
    simulate.add_argument(
        "--every",
        type=int,
        nargs="+",
        default=[5, 10],
        metavar="K",
        help="compare with every K-th frame (default: 5 10)",
    )
    simulate.add_argument(
        "--learn",
        type=int,
        default=0,
        metavar="STEPS",
        help="after the 4th, 8th, 16th ... frame looked at, let the model learn so long (default: never)",
    )
    simulate.add_argument(
        "--together",
        action="store_true",
        help="annotate all videos in one project: frames are proposed from any, and the target is their mean",
    )
    add_model_arguments(simulate)


def _truth(folder: Path) -> Truth:
    """The true (H, W) bool masks of a video."""
    from vidseg.masks import palette

    truth = [palette.read_index(path) > 0 for path in sorted(folder.glob("*.png"))]
    if not truth:
        raise DataError(f"{folder} holds no PNG files; expected one index mask a frame")
    return truth


def _simulate(args: argparse.Namespace) -> int:
    from vidseg.annotate.simulate import User, compare, total

    names = sorted(path.name for path in args.truth.iterdir() if path.is_dir()) if args.truth.is_dir() else []
    clips = [(args.frames / name, args.truth / name) for name in names] or [(args.frames, args.truth)]
    segmenter, efforts = _segmenter(args), []
    user = User(target=args.target, most=args.most, patience=args.patience, learn=args.learn)
    projects = [clips] if args.together else [[clip] for clip in clips]
    for project in projects:
        videos, truths = [video for video, _ in project], [_truth(masks) for _, masks in project]
        for effort in compare(videos, truths, lambda: segmenter, steps=args.every, user=user):
            print(json.dumps(dataclasses.asdict(effort)), flush=True)
            efforts.append(effort)
    if len(projects) > 1:
        print("\n".join(json.dumps(line) for line in total(efforts)))
    return 0


def run(args: argparse.Namespace) -> int:
    """Do what `vidseg project VERB` asks for."""
    if args.project_verb == "export":
        from vidseg.cli import export

        export.run(args)
        return 0
    if args.project_verb == "simulate":
        return _simulate(args)
    from vidseg.annotate import Project

    verbs = {"info": _info, "check": _check, "propagate": _propagate, "learn": _propagate, "relink": _relink}
    with Project.open(args.project, readonly=args.project_verb in ("info", "check")) as project:
        return verbs[args.project_verb](project, args)


def _info(project: Project, args: argparse.Namespace) -> int:
    videos = [_about(project, video.id) for video in project.videos()]
    known = project.learned()
    learned = None if known.weights is None else {"model": known.model, "masks": known.masks}
    if args.json:
        about = {"project": str(project.path), "videos": videos, "learned": learned}
        print(json.dumps({**about, "unfinished_jobs": len(project.jobs())}))
        return 0
    for video in videos:
        height, width = video["size"]
        print(f"video {video['id']}: {video['name']}, {video['frames']} frames of {width}x{height}, {video['status']}")
        for one in video["objects"]:
            of_class = f" ({one['class']})" if one["class"] else ""
            states = ", ".join(f"{one[state]} {state}" for state in ("visible", "stale", "accepted", "rejected"))
            prompts = f"{one['prompts']} prompts on {one['prompted_frames']} frames"
            print(f"  object {one['id']}: {one['name']}{of_class}, {prompts}, {one['masks']} masks ({states})")
        print(f"  reviewed: {video['share_reviewed']:.0%}")
    if not videos:
        print("no videos yet")
    if learned is not None:
        print(f"{learned['model']} has learned from {learned['masks']} masks")
    return 0


def _about(project: Project, video: int) -> dict[str, Any]:
    from vidseg.annotate.view import video_json

    objects = []
    for known in project.objects(video):
        around = project.anchors(video, known.id)
        lane = project.lane(video, known.id)
        objects.append(
            {
                **known.to_json(),
                "prompts": len(project.prompts(video, known.id)),
                "prompted_frames": len(around.frames),
                "masks": len(lane.frame),
                "visible": int((lane.area > 0).sum()),
                "stale": int(lane.stale(around).sum()),
                "accepted": int(lane.accepted.sum()),
                "rejected": int(lane.rejected.sum()),
            }
        )
    return {**video_json(project, project.video(video)), "objects": objects}


def _check(project: Project, args: argparse.Namespace) -> int:
    found = project.check()
    print("\n".join(found) if found else f"{project.path}: nothing wrong found")
    return 1 if found else 0


def _relink(project: Project, args: argparse.Namespace) -> int:
    video = project.relink(args.video, args.path, force=args.force)
    print(f"video {video.id} is now {video.path}")
    return 0


def _propagate(project: Project, args: argparse.Namespace) -> int:
    from vidseg.annotate import Session
    from vidseg.annotate.api import check

    failed: list[str] = []
    with Session(project, partial(_segmenter, args)) as session:
        session.worker.call(lambda: session.segmenter)  # a model that cannot be loaded should say so first
        session.listen(partial(_progress, failed=failed, quiet=not sys.stderr.isatty()))
        if args.project_verb == "learn":
            session.do("model.learn", **check("model.learn", {"steps": args.steps}))
            session.wait(float("inf"))
        for video in args.video or [video.id for video in project.videos()]:
            if any(project.anchors(video, known.id).frames for known in project.objects(video) if not known.locked):
                span = {"direction": "both", "frame": 0, "reach": "all"}
                session.do("propagate.start", video=video, objects=None, overwrite=args.overwrite, **span)
        session.wait(float("inf"))
    if failed:
        raise ProjectError(failed[0])
    print(f"{project.path}: masks are up to date")
    return 0


def _segmenter(args: argparse.Namespace) -> Segmenter:
    from vidseg.annotate.model import ModelSegmenter

    return ModelSegmenter(load(args), name=str(args.checkpoint or args.model))


def _progress(event: dict[str, Any], *, failed: list[str], quiet: bool) -> None:
    if event["event"] == "notice" and event["level"] == "error":
        failed.append(event["message"])
    learning = event["model"]["learning"] if event["event"] == "model" else None
    if learning is not None and not quiet:
        end = "\n" if learning["done"] == learning["steps"] else ""
        print(f"\r{learning['done']}/{learning['steps']} steps learned ", end=end, file=sys.stderr, flush=True)
    job = event.get("job") if event["event"] == "job" else None
    if job is None:
        return
    if job["state"] == "failed":
        failed.append(f"propagation failed: {job['message']}")
    if not quiet:
        end = "\n" if job["state"] == "done" else ""
        text = f"{job['done']}/{job['total']} frames, {job['frames_per_second']:.1f} a second "
        print(f"\r{text}", end=end, file=sys.stderr, flush=True)
