"""Which layers make up the clips of a batch and how they move: all random choices, for all clips at once, on the CPU.

The same three kinds of pseudo-video as in `sources.stills`, and real video as a fourth. The plan is arrays; drawing it
is the business of `gpu_clips` and involves no further choice but noise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from vidseg.train import gpu_paths, warp
from vidseg.train.clip import IGNORE
from vidseg.train.gpu_atlas import FINE, HALF, Contents
from vidseg.train.sources.pseudo_video import Recipe

HOLE = 254
"""Label of a place that an object has left; drawn from the picture without its objects."""
EXTRAS = 3
WAVES = 3
WHOLE, APART, PASTE, VIDEO = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Layers of B clips, lowest first; layer 0 is the picture, the others are cut-outs.

    Attributes:
        entry: (B, L, T) picture in the atlas; level: (B, L) its level.
        label: (B, L) label of the cut-out in that picture.
        number: (B, L) 0 for a thing that is no object, else 1..O.
        used: (B, L) bool; in each row the used layers come first.
        inverse: (B, L, T, 2, 3) frame pixels to source pixels.
        amplitude, wave: (B, L, J, 2) and phase: (B, L, T, J): the deformation, see `warp.Waves`.
        present: (B, L, T) 0..1; shadow: (B, L) 0..1; shadow_shift: (B, L, 2) frame pixels.
        tint: (B, L, 3, 3) colour matrix of a cut-out.
        table: (B, 256) label in the picture to label in the clip: 0, 1..O, `HOLE` or `IGNORE`.
        beyond: (B,) label in the clip of what lies beyond the picture's border.
    """

    entry: np.ndarray
    level: np.ndarray
    label: np.ndarray
    number: np.ndarray
    used: np.ndarray
    inverse: np.ndarray
    amplitude: np.ndarray
    wave: np.ndarray
    phase: np.ndarray
    present: np.ndarray
    shadow: np.ndarray
    shadow_shift: np.ndarray
    tint: np.ndarray
    table: np.ndarray
    beyond: np.ndarray


class _Draft:
    """The arrays of a plan while they are filled in."""

    def __init__(self, rows: int, layers: int, frames: int) -> None:
        shape = (rows, layers)
        self.entry = np.zeros((*shape, frames), np.int64)
        self.label, self.number = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.used = np.zeros(shape, bool)
        self.forward = np.tile(np.eye(2, 3), (*shape, frames, 1, 1))
        self.extent = np.full(shape, 64.0)
        self.bend = np.zeros(shape)
        self.present = np.ones((*shape, frames))
        self.shadow, self.shadow_shift = np.zeros(shape), np.zeros((*shape, 2))
        self.tint = np.tile(np.eye(3), (*shape, 1, 1))


def make_plan(
    rng: np.random.Generator,
    contents: Contents,
    recipe: Recipe,
    *,
    batch: int,
    frames: int,
    size: tuple[int, int],
    objects: int,
    video_share: float,
) -> Plan:
    """A random plan for `batch` clips of `frames` frames of `size` (H, W) with up to `objects` objects."""
    draft = _Draft(batch, 1 + objects + EXTRAS, frames)
    kind = _kinds(rng, contents, recipe, batch, video_share)
    draft.entry[:, 0] = _base_entries(rng, contents, kind, frames)
    wanted = rng.integers(1, objects + 1, batch)
    chosen, found = _choose(rng, contents, draft.entry[:, 0, 0], kind, objects, wanted)
    kind = np.where((kind == APART) & ~found[:, 0], WHOLE, kind)
    again, found_again = _choose(rng, contents, draft.entry[:, 0, 0], kind, objects, wanted)
    chosen, found = np.where(found[:, :1], chosen, again), np.where(found[:, :1], found, found_again)
    speed = np.exp(rng.uniform(np.log(recipe.slow), np.log(recipe.fast), batch))
    short_px = min(size)

    draft.used[:, 0] = True
    free, real = (kind == PASTE) | ~found[:, 0], kind == VIDEO
    draft.forward[:, 0] = gpu_paths.camera(
        rng, contents, draft.entry[:, 0, 0], chosen[:, 0], speed, frames, size, free=free, real=real
    )
    draft.extent[:, 0] = contents.sizes[draft.entry[:, 0, 0]].max(axis=1)
    draft.bend[:, 0] = np.array([0.2, 0.06, 0.06, 0.0])[kind]
    table = _table(contents, chosen, found, kind, merged=rng.random(batch) < recipe.merge)

    things, own = _things(rng, contents, chosen, found, kind, wanted, objects, recipe)
    draft.used[:, 1:] = things >= 0
    thing = np.maximum(things, 0)
    draft.entry[:, 1:] = contents.entry[thing][:, :, None]
    if recipe.live and contents.videos:
        alive = (rng.random(things.shape) < recipe.live) & draft.used[:, 1:] & ~own
        _enliven(rng, contents, thing, draft.entry[:, 1:], alive)
    draft.label[:, 1:] = contents.label[thing]
    draft.number[:, 1 : objects + 1] = np.arange(1, objects + 1)
    draft.extent[:, 1:] = np.maximum(
        *(contents.boxes[thing][..., 2:] - contents.boxes[thing][..., :2]).transpose(2, 0, 1)
    )
    draft.bend[:, 1:] = 0.25
    flying = gpu_paths.flying(rng, contents, thing, speed, frames, size)
    detached = gpu_paths.detached(rng, contents, thing, draft.forward[:, :1], speed, frames, short_px)
    draft.forward[:, 1:] = np.where(own[:, :, None, None, None], detached, flying)
    _decorate(rng, draft, recipe, objects, size, twins=_twins(things, objects))
    return _finish(rng, draft, recipe, speed, table, beyond=np.where(np.isin(kind, (WHOLE, VIDEO)), IGNORE, 0))


def _kinds(rng: np.random.Generator, contents: Contents, recipe: Recipe, batch: int, video_share: float) -> np.ndarray:
    share = video_share if contents.videos else 0.0
    if not len(contents.stills):
        share = 1.0
    return rng.choice(4, batch, p=[*((1 - share) * odds for odds in recipe.kinds), share])


def _base_entries(rng: np.random.Generator, contents: Contents, kind: np.ndarray, frames: int) -> np.ndarray:
    """(B, T) the picture of each frame: one still, or successive frames of a video."""
    entry = np.zeros((len(kind), frames), np.int64)
    if len(contents.stills):
        entry[:] = rng.choice(contents.stills, len(kind), p=contents.still_odds)[:, None]
    for row in np.flatnonzero(kind == VIDEO):
        entry[row] = _stretch(rng, contents, frames)
    return entry


def _stretch(rng: np.random.Generator, contents: Contents, frames: int) -> np.ndarray:
    """(T,) successive frames of a random video, forward or backward, to and fro at its ends."""
    number = int(rng.choice(len(contents.videos), p=contents.video_odds))
    sequence, last = contents.videos[number], len(contents.videos[number]) - 1
    stride = max(1, min(int(rng.integers(1, contents.strides[number] + 1)), last // max(1, frames - 1)))
    start = int(rng.integers(0, max(1, last + 1 - stride * (frames - 1))))
    path = np.abs(start + stride * np.arange(frames)) % (2 * last)
    path = np.where(path > last, 2 * last - path, path)
    return sequence[path[::-1] if rng.random() < 0.5 else path]


def _enliven(
    rng: np.random.Generator, contents: Contents, thing: np.ndarray, entry: np.ndarray, alive: np.ndarray
) -> None:
    """Put objects of videos, which move in themselves, in the place of the cut-outs `alive` (B, N); in place.

    `thing` (B, N) is what each cut-out shows first, `entry` (B, N, T) its pictures. Where the first frame has no whole
    object, the cut-out stays what it was. Look-alikes of one that is replaced stay as they are.
    """
    for row, place in zip(*np.nonzero(alive), strict=True):
        pictures = _stretch(rng, contents, entry.shape[-1])
        candidates = contents.first[pictures[0]] + np.arange(contents.count[pictures[0]])
        candidates = candidates[contents.whole[candidates]]
        if len(candidates):
            thing[row, place] = rng.choice(candidates)
            entry[row, place] = pictures


def _choose(
    rng: np.random.Generator,
    contents: Contents,
    entry: np.ndarray,
    kind: np.ndarray,
    objects: int,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(B, O) objects of the pictures `entry` (B,), larger ones likelier to come first, and whether they exist."""
    most = max(int(contents.count[entry].max()), objects)
    place = np.arange(most)
    candidate = np.minimum(contents.first[entry][:, None] + place, len(contents.entry) - 1)
    possible = place < contents.count[entry][:, None]
    possible &= contents.whole[candidate] | (kind != APART)[:, None]
    # The smallest of exponential waiting times picks with odds in proportion to the rates.
    wait = rng.exponential(1, candidate.shape) / np.sqrt(contents.area_px[candidate])
    order = np.argsort(np.where(possible, wait, np.inf), axis=1)[:, :objects]
    found = np.take_along_axis(possible, order, 1) & (np.arange(objects) < wanted[:, None])
    return np.take_along_axis(candidate, order, 1), found


def _table(
    contents: Contents, chosen: np.ndarray, found: np.ndarray, kind: np.ndarray, *, merged: np.ndarray
) -> np.ndarray:
    """(B, 256) labels of the pictures to labels of the clips; where `merged`, the first object and the one that touches
    it become one.
    """
    table = np.zeros((len(kind), 256), np.uint8)
    rows, places = np.nonzero(found & (kind != PASTE)[:, None])
    labels = contents.label[chosen[rows, places]]
    table[rows, labels] = np.where(kind[rows] == APART, HOLE, places + 1)
    partner = contents.partner[chosen[:, 0]]
    both = np.flatnonzero(merged & (partner > 0) & found[:, 0] & np.isin(kind, (WHOLE, VIDEO)))
    table[both, partner[both]] = 1
    table[(kind == WHOLE) | (kind == VIDEO), IGNORE] = IGNORE
    return table


def _things(
    rng: np.random.Generator,
    contents: Contents,
    chosen: np.ndarray,
    found: np.ndarray,
    kind: np.ndarray,
    wanted: np.ndarray,
    objects: int,
    recipe: Recipe,
) -> tuple[np.ndarray, np.ndarray]:
    """(B, O + extras) the object shown by each cut-out, -1 for none, and whether it starts in its own picture."""
    rows = len(kind)
    things = np.full((rows, objects + EXTRAS), -1)
    strangers = _any_objects(rng, contents, (rows, objects + EXTRAS))
    apart, paste = (kind == APART)[:, None], (kind == PASTE)[:, None]
    things[:, :objects] = np.where(apart & found, chosen, -1)
    flying = paste & (np.arange(objects) < wanted[:, None])
    things[:, :objects] = np.where(flying, strangers[:, :objects], things[:, :objects])
    count = rng.integers(1, EXTRAS + 1, rows) * (rng.random(rows) < np.where(kind == VIDEO, 0.25, recipe.extras))
    model = np.where(paste[:, 0], strangers[:, 0], chosen[:, 0])
    twin = (rng.random((rows, EXTRAS)) < recipe.twin) & (kind != VIDEO)[:, None] & (found[:, :1] | paste)
    extras = np.where(twin, model[:, None], strangers[:, objects:])
    things[:, objects:] = np.where(np.arange(EXTRAS) < count[:, None], extras, -1)
    return things, np.broadcast_to(apart, things.shape) & (np.arange(objects + EXTRAS) < objects)


def _any_objects(rng: np.random.Generator, contents: Contents, shape: tuple[int, ...]) -> np.ndarray:
    """Random objects of random stills, those that the border cuts being drawn once more."""
    stills = bool(len(contents.stills))
    pool, odds = (contents.stills, contents.still_odds) if stills else (np.flatnonzero(contents.count > 0), None)
    drawn = np.zeros(shape, np.int64)
    good = np.zeros(shape, bool)
    for _ in range(4):
        entry = rng.choice(pool, shape, p=odds)
        thing = contents.first[entry] + (rng.random(shape) * contents.count[entry]).astype(np.int64)
        drawn = np.where(good, drawn, thing)
        good |= contents.whole[drawn]
    return drawn


def _twins(things: np.ndarray, objects: int) -> np.ndarray:
    """(B, O + extras) cut-outs that show what an earlier one shows."""
    same = things[:, :, None] == things[:, None, :]
    return np.tril(same, -1).any(axis=2) & (np.arange(things.shape[1]) >= objects)


def _decorate(
    rng: np.random.Generator, draft: _Draft, recipe: Recipe, objects: int, size: tuple[int, int], *, twins: np.ndarray
) -> None:
    """Shadows, other colours for some look-alikes, and absences."""
    rows, layers, frames = draft.present.shape
    shaded = rng.random((rows, layers)) < recipe.shadow
    shaded[:, 0] = False
    draft.shadow = np.where(shaded, rng.uniform(0.15, 0.6, (rows, layers)), 0.0)
    draft.shadow_shift = rng.normal(0, 0.04 * min(size), (rows, layers, 2))
    draft.shadow_shift[..., 1] = np.abs(draft.shadow_shift[..., 1])
    recoloured = twins & (rng.random(twins.shape) < 0.35)
    turned = np.where(rng.random(twins.shape) < 0.5, 1, 2)
    other = np.stack([np.roll(np.eye(3), 1, axis=0), np.roll(np.eye(3), 2, axis=0)])[turned - 1]
    mix = rng.uniform(0.5, 1.0, (*twins.shape, 1, 1))
    draft.tint[:, 1:] = np.where(recoloured[:, :, None, None], mix * other + (1 - mix) * np.eye(3), np.eye(3))
    if frames < 3:
        return
    leaves = np.zeros((rows, layers), bool)
    leaves[:, 1 : objects + 1] = rng.random((rows, objects)) < recipe.leave
    first = rng.integers(1, frames - 1, (rows, layers, 1))
    last = first + 1 + (rng.random((rows, layers, 1)) * (frames - first)).astype(int)
    time = np.arange(frames)
    vanish = rng.random((rows, layers)) < 0.4
    draft.present = np.where((leaves & vanish)[:, :, None] & (time >= first) & (time < last), 0.0, 1.0)
    away = np.clip((time - first + 2) / 2, 0, 1) * np.clip((last + 1 - time) / 2, 0, 1)
    # Nothing is away on the first frame, where it is prompted.
    away = away * (time > 0) * (leaves & ~vanish)[:, :, None]
    heading = rng.uniform(0, 2 * np.pi, (rows, layers))
    reach = 1.3 * np.array(size[::-1]) * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    draft.forward[..., 2] += away[..., None] * reach[:, :, None]


def _finish(
    rng: np.random.Generator, draft: _Draft, recipe: Recipe, speed: np.ndarray, table: np.ndarray, *, beyond: np.ndarray
) -> Plan:
    """Deformations, the choice of the level, and the order of depth, used layers first."""
    rows, layers, frames = draft.present.shape
    lead = (rows, layers, WAVES)
    strength = draft.bend * rng.uniform(0.3, 1.0, (rows, layers)) * (rng.random((rows, layers)) < recipe.bend)
    length = draft.extent[..., None] * rng.uniform(0.6, 2.0, lead)
    heading, swing = rng.uniform(0, 2 * np.pi, (2, *lead))
    wave = 2 * np.pi / length[..., None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    reach = strength[..., None] / WAVES * length / (2 * np.pi)
    amplitude = reach[..., None] * np.stack([np.cos(swing), np.sin(swing)], axis=-1)
    pace = np.broadcast_to(0.35 * np.minimum(speed, 1.5)[:, None], (rows, layers))
    phase = rng.uniform(0, 2 * np.pi, (rows, layers, 1, WAVES))
    phase = phase + warp.wander(rng, frames, WAVES, speed=pace, lead=(rows, layers))

    inverse = warp.invert(draft.forward)
    shown = np.sqrt(np.abs(np.linalg.det(draft.forward[:, :, 0, :, :2])))
    half = shown < 0.6
    inverse = np.where(half[:, :, None, None, None], 0.5 * inverse, inverse)
    inverse[..., 2] -= np.where(half, 0.25, 0.0)[:, :, None, None]
    # Half-size pixel x' covers 2x' + 0.5 of the full size.
    phase = phase + np.where(half[..., None], 0.5 * wave.sum(axis=-1), 0.0)[:, :, None]
    wave, amplitude = (
        np.where(half[..., None, None], factor * array, array) for factor, array in ((2.0, wave), (0.5, amplitude))
    )
    depth = np.where(draft.used, rng.random((rows, layers)), np.inf)
    depth[:, 0] = -1
    order = np.argsort(depth, axis=1)
    arrays = {
        "entry": draft.entry,
        "level": np.where(half, HALF, FINE),
        "label": draft.label,
        "number": draft.number,
        "used": draft.used,
        "inverse": inverse,
        "amplitude": amplitude,
        "wave": wave,
        "phase": phase,
        "present": draft.present,
        "shadow": draft.shadow,
        "shadow_shift": draft.shadow_shift,
        "tint": draft.tint,
    }
    assert set(arrays) | {"table", "beyond"} == {field.name for field in fields(Plan)}
    sorted_arrays = {
        name: np.take_along_axis(array, order.reshape(order.shape + (1,) * (array.ndim - 2)), axis=1)
        for name, array in arrays.items()
    }
    return Plan(**sorted_arrays, table=table, beyond=beyond)
