"""How fast a model runs here, stage by stage, beside what this machine could do at best.

    machine    the processor's matrix rate for each number format, peak memory
    stages     a stopwatch and a FLOP counter put around a model's parts from outside
    subjects   vidseg itself as something to time, its memory filled
    peers      the same model in transformers or the official sam2 package, with the same weights
    run        cases -> measurements -> table and JSON

The decision to know: weights are random (time does not depend on them) but seeded, and drawn so that objects count as
present; memories are filled with copies, so that the first timed frame costs what the ten-thousandth does.
"""

from vidseg.bench.run import Case, Measurement, bench, table

__all__ = ["Case", "Measurement", "bench", "table"]
