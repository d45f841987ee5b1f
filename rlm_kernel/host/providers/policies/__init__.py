"""Fixed programs in the root model's place. Their code runs in the box, so they import the standard library only."""
