"""Text only, naming the tools that do the work: same names, same register() as the tools.

An argument is described in the docstring: FastMCP appends a JSON schema to one annotated with a Field.
"""
