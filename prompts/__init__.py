"""Text only, naming the tools that do the work: same names, same register() as the tools.

What a caller typed stands between marks that it cannot hold, and is not repeated elsewhere in the text.

An argument is described in the docstring: FastMCP appends a JSON schema to one annotated with a Field.
"""
