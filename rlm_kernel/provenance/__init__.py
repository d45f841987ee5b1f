"""Where an answer comes from: what of the input was read, and which cells and calls led to the answer.

| file | idea |
|---|---|
| `of_run.py` | `coverage` and `evidence` of a run in the journal |
| `for_tree.py` | both for the call tree of a run, small |
| `coverage.py` | compares what models were told with the input |
| `documents.py` | a text of the input, and which parts of it were read, by whom, how often |
| `matching.py` | finds slices of a large text in others |
| `evidence.py` | the cells and calls that led to an answer |
| `shown.py` | a coverage as a strip, in HTML and for the terminal |
"""
