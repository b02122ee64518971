"""One small annotation for the tests of single formats: a ring, a block, boxes, a name that needs escaping, times."""

import numpy as np

from vidseg.masks import rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.types import Box

RING = np.zeros((10, 16), bool)
RING[2:8, 3:12] = True
RING[4:6, 5:9] = False
BLOCK = np.zeros((10, 16), bool)
BLOCK[1:3, 1:5] = True
SPECIAL = "<car> & \"van\" 'é'"
ANNOTATION = Annotation(
    "clip",
    (10, 16),
    5,
    (
        Track(3, "Ann", SPECIAL, {0: rle.encode(RING), 1: rle.encode(BLOCK), 3: rle.encode(RING)}, {0: 0.25, 1: 0.75}),
        Track(4, "", "dog", boxes={1: Box(1.5, 2, 8, 9.25), 4: Box(0, 0, 16, 10)}),
    ),
    times=(0.0, 0.1, 0.2, 0.3, 0.4),
    fps=10.0,
)
