"""The InfoVAE objective with maximum mean discrepancy for genzoo."""
