"""Composition: flows, settings and the command line. The only place that knows everyone and reads the environment."""
