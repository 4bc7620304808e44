"""The total-correlation objective of the beta-TCVAE for genzoo."""
