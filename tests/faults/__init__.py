"""Faults that users of other RLM harnesses have met: for each a test, named after what this one does instead.

Their numbers are those of the project's survey, which says where each was reported.
"""
