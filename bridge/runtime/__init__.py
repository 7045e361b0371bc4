"""Threads, time and signals: turns events into effects."""
