"""Finding plugins: what is installed, what is known, and what keeps the process safe from their declarations."""
