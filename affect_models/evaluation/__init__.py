"""Metrics with intervals over videos, and the floors a model has to beat."""
