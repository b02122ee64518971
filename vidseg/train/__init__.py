"""Training: clips (real, pseudo and procedural), a simulated user, losses and the loop.

`clip` says what a clip is, `sources` makes clips, `loader` serves them in batches from worker processes, `gpu_clips`
makes pseudo-videos of a whole batch at once on a GPU, `preview` draws contact sheets. Everything a clip needs is numpy
and OpenCV; torch enters with `gpu_clips` and with the loop.
"""
