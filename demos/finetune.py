"""Fine-tune a model on folders of labelled clips. The clips are generated here, so that this runs anywhere.

python demos/finetune.py [--model nano] [--steps 200] [--out finetuned]    (docs/train.md: with your own data)
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from vidseg.masks.palette import write_index
from vidseg.train.config import HeldOutConfig, OptimiserConfig, SourceConfig, StageConfig, TrainConfig
from vidseg.train.loop import train
from vidseg.train.metrics import read_rows
from vidseg.train.user import PromptConfig


def write_clip(folder: Path, rng: np.random.Generator) -> None:
    """Six frames of an ellipse that drifts over clouds, each beside its index PNG."""
    clouds = cv2.resize(rng.integers(60, 200, (4, 6, 3), dtype=np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    colour, place, speed = rng.integers(0, 255, 3).tolist(), rng.uniform([30, 22], [66, 42]), rng.uniform(-4, 4, 2)
    axes, angle = rng.integers(12, 22, 2).tolist(), float(rng.uniform(0, 180))
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(6):
        x, y = (place + t * speed).round().astype(int).tolist()
        mask = cv2.ellipse(np.zeros((64, 96), np.uint8), (x, y), axes, angle, 0, 360, 1, -1)
        cv2.imwrite(str(folder / f"{t:05d}.jpg"), np.where(mask[..., None] > 0, np.uint8(colour), clouds))
        write_index(folder / f"{t:05d}.png", mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name or a file of weights to start from")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("finetuned"))
    args = parser.parse_args()
    for number in range(12):
        part = args.out / "data" / ("train" if number < 8 else "held-out")
        write_clip(part / f"clip-{number}", np.random.default_rng(number))
    config = TrainConfig(
        model="",  # whatever the weights are of
        init_from=args.model,
        data_root=str(args.out / "data"),
        sources=(SourceConfig("videos", ("train",)),),
        stages=(StageConfig(args.steps, size=(64, 96), frames=2, batch=4, objects=1),),
        optimiser=OptimiserConfig(rate=2e-3, warmup=10, ema=0.8, frozen=("sam_prompt_encoder",)),
        held_out=HeldOutConfig(every=args.steps // 4 or 1, sources=(SourceConfig("videos", ("held-out",)),), clips=8),
        prompts=PromptConfig(mask=1.0, sloppy=0.0, box=0.0, click=0.0),
        workers=0,
        log_every=max(1, args.steps // 10),
    )
    for report in filter(lambda report: report.news, train(config, args.out / "run")):
        print(report.news)
    loss = [row["loss"] for row in read_rows(args.out / "run/metrics.csv")]
    print(f"loss {loss[0]:.2f} -> {loss[-1]:.2f}; use it: vidseg track VIDEO --model {args.out}/run/best.safetensors")


if __name__ == "__main__":
    main()
