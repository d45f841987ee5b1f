"""Runs that go on from a journal: what they are served, and how they begin."""
