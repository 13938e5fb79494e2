"""Agents that lead agents."""
