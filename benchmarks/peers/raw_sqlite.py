"""The floor: a JSON loop over `sqlite3`, one connection, no checks; `{columns, rows}` as text."""

import json
import sqlite3
import sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
for line in sys.stdin.buffer:
    request = json.loads(line)
    cursor = database.execute(request["params"]["arguments"]["sql"])
    columns = [column[0] for column in cursor.description]
    text = json.dumps({"columns": columns, "rows": cursor.fetchall()}, separators=(",", ":"))
    answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"content": [{"type": "text", "text": text}]}}
    sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
    sys.stdout.flush()
