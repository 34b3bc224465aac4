"""Arithmetic whose every bit is the same on every machine: functions, noise, fixed-point networks, engines."""
