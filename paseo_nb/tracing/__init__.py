"""What runs did, read from their journals: trees of spans, cost, the prompt cache's shape.

Reads only: it starts nothing and writes nothing but what an export is told to. Each part is a pure
function from values to values; `seen` gathers a run and the runs that it started, and the verbs
(`trace_verbs`) call it. Drawing is `widgets/trace`'s.
"""
