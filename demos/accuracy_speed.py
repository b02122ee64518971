"""Draw J&F against milliseconds a frame, of several runs of `vidseg eval` on the same machine.

python demos/accuracy_speed.py runs/size-320 runs/size-384 ... [--out accuracy-speed.png]
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders that vidseg eval wrote")
    parser.add_argument("--out", default="accuracy-speed.png")
    args = parser.parse_args()

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="milliseconds a frame", ylabel="J&F")
    for number, run in enumerate(args.runs):
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        milliseconds = 1000 / results["speed"]["frames_per_second"]
        print(f"{run.name}: J&F {results['j_and_f']:.1f}, {milliseconds:.0f} ms a frame")
        axes.plot(milliseconds, results["j_and_f"], "o")
        beside = (6, -14 if number % 2 else 4)  # names of neighbours do not meet
        axes.annotate(run.name, (milliseconds, results["j_and_f"]), xytext=beside, textcoords="offset points")
    axes.grid(alpha=0.3)
    axes.margins(x=0.2, y=0.15)
    figure.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
