"""What a run may come to, from past runs of this machine, before any model is asked.

| file | idea |
|---|---|
| `estimate.py` | `Estimate`: the figures, their line of text, and the question above a threshold |
| `forecast.py` | makes one: past runs like this one, at the prices of now |
| `past.py` | reads past runs, the newest first, from their ``run.json`` |
| `ranges.py` | least, middle, most; and whether figures grow with the input |
| `size.py` | how big an input is, without reading a file |
| `words.py` | numbers as people read them |
"""

from rlm_kernel.host.estimate.estimate import Estimate
from rlm_kernel.host.estimate.ranges import Range
from rlm_kernel.host.estimate.size import InputSize

__all__ = ["Estimate", "InputSize", "Range"]
