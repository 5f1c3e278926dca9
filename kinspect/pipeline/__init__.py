"""The use cases: from a request and a source of facts to an answer.

The only place that knows the order of the stages. Prints nothing, exits nothing.
"""
