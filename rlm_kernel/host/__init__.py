"""The host: it holds the keys, the money and the time. Runs the loop and answers the kernel's calls."""
