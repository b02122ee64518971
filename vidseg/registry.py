"""The models that have a name: where their weights come from, how to know them, under which licence.

Only facts live here; fetching is in `downloads`, reading files in `checkpoint`, building models in `weights`. Meta's
releases: sizes and SHA-256 sums are those of the files at their official address.
Source: SAM 2 (arXiv 2408.00714), https://github.com/facebookresearch/sam2.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from vidseg.errors import WeightsError

__all__ = ["RELEASES", "SHIPPED", "Release", "find_release", "shipped_path", "unknown_model"]


@dataclass(frozen=True, slots=True)
class Release:
    """One file of weights that somebody published.

    Attributes:
        name: what users call it; also the name of its preset in `vidseg.model.config.PRESETS`.
        url: its official address.
        sha256: the sum of the file, 64 hexadecimal digits.
        size_bytes: length of the file, None where it is not published.
        parameters: numbers in the file.
        licence: SPDX identifier.
        hub_repo: the repository on the Hugging Face hub that holds the same weights.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int | None
    parameters: int
    licence: str
    hub_repo: str

    @property
    def file_name(self) -> str:
        """The name of the file, the last part of its address."""
        return self.url.rsplit("/", 1)[1]


def _meta(name: str, size_bytes: int | None, parameters: int, sha256: str) -> Release:
    version, size = name.split("-", 1)
    date = {"sam2.1": "092824", "sam2": "072824"}[version]
    file_name = f"{version}_hiera_{size.replace('-', '_')}.pt"
    return Release(
        name=name,
        url=f"https://dl.fbaipublicfiles.com/segment_anything_2/{date}/{file_name}",
        sha256=sha256,
        size_bytes=size_bytes,
        parameters=parameters,
        licence="Apache-2.0",
        hub_repo=f"facebook/{version}-hiera-{size}",
    )


SHIPPED: tuple[str, ...] = ("nano", "pico")
"""Models inside the package; they need no download."""

SHIPPED_LICENCE = "non-commercial"
"""Of their weights, since part of what they were trained on is licensed so; docs/nano.md lists it."""

RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        _meta(
            "sam2.1-tiny", 156_008_466, 38_962_754, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"
        ),
        _meta(
            "sam2.1-small", 184_416_285, 46_060_610, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"
        ),
        _meta(
            "sam2.1-base-plus",
            323_606_802,
            80_850_434,
            "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        ),
        _meta(
            "sam2.1-large", 898_083_611, 224_446_898, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"
        ),
        _meta("sam2-tiny", 155_906_050, 38_946_242, "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"),
        _meta("sam2-small", None, 46_044_098, "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"),
        _meta(
            "sam2-base-plus",
            323_493_298,
            80_833_922,
            "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        ),
        _meta(
            "sam2-large", 897_952_466, 224_430_386, "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"
        ),
    )
}
"""Every downloadable model by name."""


def find_release(name: str) -> Release:
    """Look a downloadable model up by name.

    Raises:
        WeightsError: no such model, or one that needs no download.
    """
    if name in RELEASES:
        return RELEASES[name]
    if name in SHIPPED:
        raise WeightsError(f"{name} comes with vidseg and needs no download")
    raise unknown_model(name)


def shipped_path(name: str) -> Path:
    """Return where the package keeps the weights of a model in `SHIPPED`; a checkout may lack the file."""
    return Path(__file__).parent / "shipped" / f"{name}.safetensors"


def unknown_model(name: str) -> WeightsError:
    """The error for a name that is in no list, with the nearest that is."""
    names = [*SHIPPED, *RELEASES]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return WeightsError(
        f"unknown model {name!r}; {hint}Known are {', '.join(names)}; or give the path of an existing checkpoint file"
    )
