"""Providers: how each agent is found, launched, spoken to and read.

One file per provider with what differs, one per dialect with the protocol. No process is kept
here (that is the supervisor's) and nothing is stored (that is the journal's and the store's).
"""
