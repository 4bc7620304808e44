"""A normal prior for each label, p(z|c), for genzoo."""
