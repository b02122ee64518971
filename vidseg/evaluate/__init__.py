"""Measure: J and F, labelled data sets, simulated users, and the run that puts them together.

results = evaluate.run(load_model("nano"), "DAVIS", prompt="click")
print(results.j_and_f)
"""

from vidseg.evaluate.data import Dataset, open_dataset
from vidseg.evaluate.methods import Copy, Flow, SavedMasks, Tracker
from vidseg.evaluate.metrics import boundary, region, score, statistics
from vidseg.evaluate.results import ObjectResult, Results, SequenceResult
from vidseg.evaluate.run import each, run

__all__ = [
    "Copy",
    "Dataset",
    "Flow",
    "ObjectResult",
    "Results",
    "SavedMasks",
    "SequenceResult",
    "Tracker",
    "boundary",
    "each",
    "open_dataset",
    "region",
    "run",
    "score",
    "statistics",
]
