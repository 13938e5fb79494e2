"""The pair of processes that own one run's agent: the warden and the supervisor.

What lives here runs in those two processes only: launching the agent, the control socket, the
permission policy, limits, clean-up. Front ends never import it (but `cleanup`, to sweep what a
double kill left); they reach a pair through `paseo_nb.host`.
"""
