"""The checks, one module a kind or a subject that several kinds share."""
