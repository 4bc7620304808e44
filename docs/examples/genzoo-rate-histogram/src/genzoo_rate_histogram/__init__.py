"""How many nats each image's code costs, as a figure."""
