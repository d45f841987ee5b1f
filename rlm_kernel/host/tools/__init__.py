"""The caller's tools: functions that run on the host, values, secrets, and code for the REPL.

| file | idea |
|---|---|
| `names.py` | which names a tool may have |
| `entries.py` | what a caller passes becomes a checked entry; bad ones are refused before any model is paid |
| `signatures.py` | what a function takes, and the text that a model reads about it |
| `toolbox.py` | `Tools`: what the kernel and the prompt hear of the entries, and the calls that come back |
| `work.py` | runs a function, sync or async, so that one that hangs can be left |
| `results.py` | what a function returned becomes JSON |
| `reasons.py` | what a failed function said becomes one line that tells nothing of the host |
"""

from rlm_kernel.host.tools.entries import Source, check_tools
from rlm_kernel.host.tools.names import RESERVED_NAMES
from rlm_kernel.host.tools.toolbox import Tools

__all__ = ["RESERVED_NAMES", "Source", "Tools", "check_tools"]
