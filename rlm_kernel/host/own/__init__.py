"""A person's own REPL: the model's names in the kernel that they type into, and each cell that asks is a run.

| file | idea |
|---|---|
| `repl.py` | the names, the input, and where a cell begins and ends |
| `asking.py` | stands where a boxed kernel's bridge does: what a cell asks goes to its run |
| `run.py` | a cell as a run: a root node without a model, whose only cell is the person's |

The cells are the person's, so nothing of this is in a sandbox; the children of `rlm_query` are.
"""
