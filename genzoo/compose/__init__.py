"""From names to a checked experiment: `plan` resolves names and options without torch, `build` makes the objects."""
