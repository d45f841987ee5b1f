"""What a run did, as values: the event types, their JSON, and the fold into a tree. Standard library only."""
