"""Where an answer comes from: what of the input was read, and which cells and calls led to the answer.

| file | idea |
|---|---|
| `of_run.py` | `coverage` and `evidence` of a run in the journal |
| `coverage.py` | which parts were read, by whom, how often |
| `matching.py` | finds slices of a large text in others |
| `evidence.py` | the cells and calls that led to an answer |
| `shown.py` | a coverage as a strip, in HTML and for the terminal |
"""
