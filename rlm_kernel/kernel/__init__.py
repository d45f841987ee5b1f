"""In the box: the kernel that runs model-written code. Standard library and ipykernel only."""
