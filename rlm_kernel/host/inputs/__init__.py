"""An input becomes a file that a kernel can read.

| file | idea |
|---|---|
| `prepared.py` | refuses what can never be an input, and writes or shows the rest |
| `formats.py` | what a file is, by its suffix or by the option |
| `paths.py` | files, folders and globs |
| `json_file.py`, `frames.py` | lists and dicts; pandas and polars frames |
| `decoding.py` | the options ``encoding`` and ``encoding_errors`` |
| `foreign.py` | what JSON cannot hold, where it is, and what to pass instead |
"""

from rlm_kernel.host.inputs.prepared import check, kept, prepare, single_file, uploaded

__all__ = ["check", "kept", "prepare", "single_file", "uploaded"]
