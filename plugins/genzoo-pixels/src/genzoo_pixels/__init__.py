"""Any prior as a model of images."""
