"""Average the weights of two checkpoints of one architecture, in half precision.

python demos/average_weights.py before.safetensors after.safetensors [--share 0.5] [--out averaged.safetensors]

Between a model and what it became by further training often lies one that is better than both.
Source: WiSE-FT (arXiv 2109.01903).
"""

import argparse

import torch

from vidseg.weights import load_model, save_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a name or file that load_model takes")
    parser.add_argument("after", help="another one")
    parser.add_argument("--share", type=float, default=0.5, help="of the way from the first to the second, 0 to 1")
    parser.add_argument("--out", default="averaged.safetensors")
    args = parser.parse_args()

    before, after = (load_model(name, device="cpu", dtype="float32") for name in (args.before, args.after))
    if before.config != after.config:
        parser.error(f"{args.before} is a {before.config.name} and {args.after} another {after.config.name}")
    with torch.no_grad():
        for mine, other in zip(before.parameters(), after.parameters(), strict=True):
            mine.copy_((1 - args.share) * mine + args.share * other)
    save_model(before, args.out, dtype=torch.float16)
    print(f"{args.out}: {args.share:g} of the way from {args.before} to {args.after}")


if __name__ == "__main__":
    main()
