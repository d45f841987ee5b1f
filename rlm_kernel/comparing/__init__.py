"""Runs side by side: what they answered, what they cost, and where their ways parted.

| file | idea |
|---|---|
| `comparison.py` | `compare` and its result |
| `sides.py` | the numbers of one run, or of plain calls |
| `differences.py` | where two trees first differ |
| `table.py` | the result as HTML and for the terminal |
"""

from rlm_kernel.comparing.comparison import Comparison, compare
from rlm_kernel.comparing.differences import Difference
from rlm_kernel.comparing.sides import Side

__all__ = ["Comparison", "Difference", "Side", "compare"]
