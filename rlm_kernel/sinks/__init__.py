"""Readers of the event stream: the journal, and the views, each made from the folded tree."""
