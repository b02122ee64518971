"""Track in a live stream: a camera (0), a URL (rtsp://...), a pipe (-) or a file, frame by frame, in constant memory.

python demos/stream.py [SOURCE] [--click X,Y] [--model nano] [--frames N]
ffmpeg -i clip.mp4 -f matroska - | python demos/stream.py - --click 160,99
"""

import argparse
from itertools import islice
from pathlib import Path

import vidseg
from vidseg.video import read_ahead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=str(Path(__file__).with_name("clip.mp4")))
    parser.add_argument("--click", default="160,99")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--frames", type=int, help="stop after so many (default: when the stream ends)")
    args = parser.parse_args()

    model = vidseg.load_model(args.model)
    x, y = map(float, args.click.split(","))
    state = vidseg.TrackerState()  # all that is remembered; its size is bounded
    with vidseg.open_video(args.source) as video:
        for frame in islice(read_ahead(video.frames()), args.frames):
            prompts = []
            if not state.tracks:  # the first frame: say what to follow
                prompts = [vidseg.Prompt(object=1, frame=frame.index, clicks=(vidseg.Click(x, y),))]
            state, result = vidseg.step(model, state, frame, prompts)
            where = result.boxes()[0].tolist() if result.visible[0] else "not in sight"
            print(f"{frame.seconds:.2f} s: {where}")


if __name__ == "__main__":
    main()
