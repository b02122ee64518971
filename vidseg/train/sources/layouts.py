"""Which frames and masks make a sequence: DAVIS, YouTube-VOS, MOSE and SA-V trees, and plain folders of pairs.

A folder of pictures is a sequence. Its masks are beside them (same name, .png) or, for a path with a part
`JPEGImages*`, in the tree whose part is called `Annotations*`; a folder of masks a object (SA-V) is understood too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from vidseg.train.clip import Skip, SkipList
from vidseg.train.sources.store import IMAGE_SUFFIXES, Store


@dataclass(frozen=True, slots=True)
class Sequence:
    """The files of one video: names in the store, in order of time.

    Attributes:
        name: folder of the pictures.
        images: one name a frame.
        masks: for each frame None (not annotated) or the mask files: one index PNG with id 0, or one file an object id.
    """

    name: str
    images: tuple[str, ...]
    masks: tuple[tuple[tuple[int, str], ...] | None, ...]

    @property
    def annotated(self) -> tuple[int, ...]:
        """Indices of the frames that have masks."""
        return tuple(i for i, mask in enumerate(self.masks) if mask)


def sequences(store: Store, skips: SkipList) -> tuple[Sequence, ...]:
    """Every sequence in `store` with at least two frames and one mask.

    The others go to `skips`, and so do empty folders and masks that belong to no picture.
    """
    for path in store.empty:
        skips.add(Skip(path, "an empty folder"))
    folders: dict[str, list[str]] = defaultdict(list)
    annotations: dict[str, list[str]] = defaultdict(list)
    for name in store.names:
        folder, _, file = name.rpartition("/")
        suffix = "." + file.rpartition(".")[2].lower()
        if any(part.startswith("Annotations") for part in folder.split("/")):
            if suffix == ".png":
                annotations[folder].append(name)
        elif suffix in IMAGE_SUFFIXES:
            folders[folder].append(name)
    found, used = [], set()
    for folder, files in folders.items():
        where = store.path(files[0]).rpartition("/")[0]
        if any(part.startswith("JPEGImages") for part in folder.split("/")):
            sequence = _tree(folder, files, annotations)
        else:
            sequence = _plain(folder, files)
            if sequence.images:
                annotations[folder] = [name for name in files if name not in sequence.images]
        used |= {name for frame in sequence.masks for _, name in frame or ()}
        if not sequence.images:
            skips.add(Skip(where, "masks without pictures"))
        elif len(sequence.images) < 2:
            skips.add(Skip(where, "a sequence of fewer than two pictures"))
        elif not sequence.annotated:
            skips.add(Skip(where, "a sequence without masks"))
        else:
            found.append(sequence)
    for names in annotations.values():
        lone = [store.path(name) for name in names if name not in used]
        if len(lone) == len(names) > 1:
            skips.add(Skip(lone[0].rpartition("/")[0], "masks without pictures"))
        else:
            for path in lone:
                skips.add(Skip(path, "mask without a picture"))
    return tuple(found)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _in_time(stem: str) -> tuple[int, str]:
    """Sort 9 before 10, whether or not the numbers are padded."""
    digits = "".join(c for c in stem if c.isdigit())
    return (int(digits) if digits else 0, stem)


def _plain(folder: str, files: list[str]) -> Sequence:
    masks = {_stem(name): name for name in files if name.lower().endswith(".png")}
    images = {_stem(name): name for name in files if not name.lower().endswith(".png")}
    stems = sorted(images, key=_in_time)
    return Sequence(
        folder,
        tuple(images[stem] for stem in stems),
        tuple(((0, masks[stem]),) if stem in masks else None for stem in stems),
    )


def _tree(folder: str, files: list[str], annotations: dict[str, list[str]]) -> Sequence:
    images = {_stem(name): name for name in files}
    stems = sorted(images, key=_in_time)
    masks: dict[str, list[tuple[int, str]]] = defaultdict(list)
    parts = folder.split("/")
    at = next(i for i, part in enumerate(parts) if part.startswith("JPEGImages"))
    number = 0
    for other, names in sorted(annotations.items()):
        theirs = other.split("/")
        if len(theirs) <= at or theirs[:at] != parts[:at] or not theirs[at].startswith("Annotations"):
            continue
        if theirs[at + 1 :] == parts[at + 1 :]:
            for name in names:
                masks[_stem(name)] = [(0, name)]
        elif theirs[at + 1 : -1] == parts[at + 1 :]:
            number += 1
            for name in names:
                masks[_stem(name)].append((number, name))
    return Sequence(
        folder,
        tuple(images[stem] for stem in stems),
        tuple(tuple(sorted(masks[stem])) if stem in masks else None for stem in stems),
    )
