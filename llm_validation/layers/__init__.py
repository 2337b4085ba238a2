"""Layers that hold the adapters of many clients on one frozen base."""
