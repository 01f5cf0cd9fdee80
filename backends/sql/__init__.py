"""SQL that reads and cannot write: each database is asked through child processes that can be killed."""

from backends.sql.databases import Databases

__all__ = ["Databases"]
