"""Image datasets: sets that are fetched once, a tiny one for tests and demonstrations, and the user's own."""
