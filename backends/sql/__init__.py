"""SQL that reads and cannot write: each database is asked through child processes that can be killed.

The way of one call, in the server: databases.py checks and words it (with catalogue.py for what there is,
plan.py for a plan, refusals.py for what went wrong), pool.py gives it a turn and a child that has the file.py
open, worker.py is the handle of that child. In the child: child.py answers, on the connection of
connection.py, with rows.py for a page (identifiers.py for names in double quotes), exporting.py for all rows,
explaining.py for a plan.
"""

from backends.sql.databases import Databases

__all__ = ["Databases"]
