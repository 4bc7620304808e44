"""Schedules of any named quantity: the weight of the rate, the learning rate, a capacity, a temperature."""
