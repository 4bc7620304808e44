"""The mutual information metric for genzoo."""
