"""Measures this project and its peer `rlms` side by side: ``make bench``. Standard library only, but for the two sides.

`__main__` runs the measurements of `catalogue` in workers (`ours`, `peer_rlms`), against one `server` whose replies
`scripts` writes, and `report` turns the samples into `docs/benchmarks.md`. Nothing here is a test.
"""
