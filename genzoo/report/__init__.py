"""One page about runs that needs nothing else: what was run, what came of it, and the model itself."""
