"""The VampPrior, a mixture of posteriors at learned pseudo-inputs, for genzoo."""
