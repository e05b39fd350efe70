"""Losses, schedules, one training loop, and one file per trained thing."""
