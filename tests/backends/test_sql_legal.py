"""What is legal runs, and gives what sqlite3 itself gives, row for row."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backends.sql import Databases
from config import SqlSettings

SCRIPT = """
CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT, country TEXT, population INTEGER, area REAL);
CREATE INDEX city_by_country ON city(country, population DESC);
CREATE INDEX city_by_lower ON city(lower(name));
CREATE TABLE made (a INTEGER, twice INTEGER GENERATED ALWAYS AS (a * 2), note TEXT DEFAULT 'none');
CREATE TABLE strict_one (a ANY, b BLOB) STRICT;
CREATE TABLE "odd name" ("a""b" INT, [x y] TEXT, `select` REAL);
CREATE VIEW shown AS SELECT upper(name) AS label, printf('%,d', population) AS people,
    trim(replace(name, 'i', 'I')) AS changed, instr(name, 'a') AS at FROM city;
CREATE VIEW latest AS WITH ranked AS (SELECT *, rank() OVER (PARTITION BY country ORDER BY population) AS r
    FROM city) SELECT name, r FROM ranked;
CREATE VIRTUAL TABLE story USING fts5(title, body, tokenize = 'porter');
CREATE VIRTUAL TABLE word USING fts5vocab(story, 'row');
CREATE VIRTUAL TABLE part USING fts5(name, tokenize = 'trigram');
CREATE VIRTUAL TABLE old USING fts4(body);
CREATE VIRTUAL TABLE box USING rtree(id, low, high);
INSERT INTO city VALUES (1, 'Lima', 'PE', 10719188, 2672.3), (2, 'Cusco', 'PE', 428450, 385.1),
    (3, 'Paris', 'FR', 2138551, 105.4), (4, 'Lyon', 'FR', 522250, NULL), (5, 'O''Higgins', NULL, NULL, NULL);
INSERT INTO made(a) VALUES (1), (2), (3);
INSERT INTO strict_one VALUES (1, NULL), ('a', NULL), (1.5, NULL);
INSERT INTO "odd name" VALUES (1, 'two', 3.5);
INSERT INTO story VALUES ('fox', 'the quick brown fox jumps'), ('dog', 'a lazy dog sleeps'),
    ('both', 'fox and dog');
INSERT INTO part VALUES ('Machu Picchu'), ('Cusco');
INSERT INTO old VALUES ('an older index'), ('another one');
INSERT INTO box VALUES (1, 0, 10), (2, 5, 15), (3, 20, 30);
ANALYZE;
"""
LEGAL = """
SELECT 1
select 1;
SELECT 1 ; -- and no more
SELECT 1 /* ; DROP TABLE city */
/* before */ SELECT /* within */ 1 -- after
-- a line before{newline}SELECT name FROM city ORDER BY id
VALUES (1, 'a'), (2, 'b')
SELECT 'pragma', 'DELETE FROM city', ';', 'ATTACH'
SELECT * FROM city
SELECT * FROM city WHERE country IS NULL OR population > 1e6 ORDER BY name DESC LIMIT 2 OFFSET 1
SELECT country, count(*), sum(population), avg(area), total(area), min(name), max(name), group_concat(name, '; ') FROM city GROUP BY country HAVING count(*) > 0 ORDER BY 1
SELECT count(DISTINCT country), sum(population) FILTER (WHERE country = 'PE') FROM city
SELECT DISTINCT country FROM city UNION SELECT 'XX' EXCEPT SELECT 'FR' INTERSECT SELECT country FROM city
SELECT a.name, b.name FROM city a LEFT JOIN city b ON b.country = a.country AND b.id > a.id ORDER BY a.id, b.id
SELECT name FROM city NATURAL JOIN (SELECT 'PE' AS country) ORDER BY 1
SELECT name FROM city WHERE id IN (SELECT max(id) FROM city GROUP BY country) ORDER BY id
SELECT name, (SELECT count(*) FROM city b WHERE b.country = a.country) AS n FROM city a WHERE EXISTS (SELECT 1) ORDER BY id
SELECT CASE WHEN population > 1000000 THEN 'big' ELSE 'small' END AS size, iif(area IS NULL, 0, 1) FROM city ORDER BY id
WITH big AS (SELECT * FROM city WHERE population > 500000) SELECT name FROM big ORDER BY id
WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT x + 1 AS y FROM a) SELECT x, y FROM a, b
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 50) SELECT x, x * x FROM n
WITH RECURSIVE n(x) AS (SELECT 1 UNION SELECT (x * 7) % 31 FROM n) SELECT count(*), sum(x) FROM n
WITH RECURSIVE q(d, n) AS (SELECT 0, '.' UNION ALL SELECT d + 1, n || d FROM q WHERE d < 9 ORDER BY 1 DESC) SELECT * FROM q
SELECT name, row_number() OVER (ORDER BY population DESC), rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, cume_dist() OVER w, ntile(2) OVER w FROM city WINDOW w AS (PARTITION BY country ORDER BY population) ORDER BY id
SELECT name, lag(name) OVER (ORDER BY id), lead(name, 2, '-') OVER (ORDER BY id), first_value(name) OVER (ORDER BY id), last_value(name) OVER (ORDER BY id), nth_value(name, 2) OVER (ORDER BY id) FROM city ORDER BY id
SELECT sum(population) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM city ORDER BY id
SELECT json_object('a', 1, 'b', json_array(1, 2, NULL)), json_extract('{"a": [1, {"b": 2}]}', '$.a[1].b'), '{"a": "x"}' -> 'a', '{"a": "x"}' ->> 'a'
SELECT key, value, type, fullkey FROM json_each('{"a": 1, "b": [true, null]}')
SELECT key, atom, path FROM json_tree('{"a": {"b": [1, 2]}}') WHERE atom IS NOT NULL
SELECT json_group_array(name), json_group_object(name, population) FROM city WHERE country = 'PE'
SELECT json_set('{}', '$.a', 1), json_insert('[1]', '$[#]', 2), json_replace('{"a": 1}', '$.a', 2), json_remove('[1,2]', '$[0]'), json_patch('{"a": 1}', '{"b": 2}'), json_array(json_patch('{"a": 1}', '{"b": 2}')), json_type('[]'), json_valid('{'), json_quote('a'), json_array_length('[1,2]')
SELECT title FROM story WHERE story MATCH 'fox' ORDER BY rank
SELECT title, bm25(story), highlight(story, 1, '<', '>'), snippet(story, 1, '<', '>', '…', 3) FROM story WHERE story MATCH 'dog OR jump*' ORDER BY title
SELECT title FROM story('NEAR(quick fox, 3)')
SELECT title FROM story WHERE body MATCH 'fox NOT dog'
SELECT term, doc, cnt FROM word ORDER BY term
SELECT name FROM part WHERE name LIKE '%picchu%'
SELECT name FROM part WHERE part MATCH 'machu'
SELECT body, offsets(old) FROM old WHERE body MATCH 'older'
SELECT id FROM box WHERE low >= 0 AND high <= 15 ORDER BY id
SELECT name, type, "notnull", pk FROM pragma_table_info('city')
SELECT name, hidden FROM pragma_table_xinfo('made')
SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name
SELECT name, "unique", origin FROM pragma_index_list('city') ORDER BY name
SELECT seqno, name FROM pragma_index_info('city_by_country')
SELECT m.name, p.name FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'table' ORDER BY 1, 2
PRAGMA table_info(city)
PRAGMA table_info('odd name')
PRAGMA index_list("city")
PRAGMA foreign_key_list(city)
PRAGMA table_xinfo(made)
PRAGMA user_version
PRAGMA main.encoding
PRAGMA page_size
SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name
SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2
EXPLAIN QUERY PLAN SELECT * FROM city WHERE country = 'PE' ORDER BY population
EXPLAIN SELECT name FROM city WHERE id = 1
SELECT * FROM shown
SELECT * FROM latest ORDER BY name
SELECT * FROM made
SELECT a FROM strict_one
SELECT "a""b", [x y], `select` FROM "odd name"
SELECT abs(-1), round(2.567, 1), sign(-3), ceil(1.2), floor(-1.2), trunc(1.9), mod(7, 3), pow(2, 10), sqrt(2), ln(2), log10(100), log2(8), exp(1), pi(), sin(1), atan2(1, 2), degrees(1), radians(180)
SELECT lower('ÀB'), upper('àb'), length('日本'), substr('abcdef', 2, 3), substring('abc', -2), replace('aXa', 'X', '-'), trim('  a '), ltrim('xxa', 'x'), rtrim('axx', 'x'), instr('abc', 'c'), char(65, 8364), unicode('€'), hex('a'), quote('it''s'), printf('%05.2f|%-5s|%+d|%x|%,d', 3.14159, 'ab', 5, 255, 1234567), format('%s', 'x'), soundex('Robert'), coalesce(NULL, 1), ifnull(NULL, 2), nullif(1, 1), typeof(1.0), min(3, 1, 2), max('a', 'b')
SELECT date('2024-02-29', '+1 year'), time('12:00', '-30 minutes'), datetime('2024-01-31', '+1 month', 'start of month'), julianday('2000-01-01'), strftime('%Y-%W %j', '2024-05-05'), unixepoch('2024-01-01')
SELECT name FROM city WHERE name LIKE '%i%' ESCAPE '!' OR name GLOB 'P*' ORDER BY id
SELECT name COLLATE NOCASE FROM city ORDER BY name COLLATE NOCASE
SELECT 1 = 1, NULL IS NULL, 1 IN (1, 2), 'a' || 'b', 7 / 2, 7 % 2, 5 & 3, 1 << 4, ~1, NOT 0, 1 BETWEEN 0 AND 2
SELECT (1, 2) < (1, 3), (SELECT 1, 2) = (1, 2)
SELECT CAST('12abc' AS INTEGER), CAST(1.9 AS TEXT), 0x10, 1e3, .5, TRUE
SELECT likely(1), unlikely(0), likelihood(1, 0.5)
SELECT rowid, _rowid_, oid FROM city ORDER BY rowid
SELECT name FROM city INDEXED BY city_by_country WHERE country = 'FR' ORDER BY population
SELECT name FROM city NOT INDEXED WHERE lower(name) = 'lima'
SELECT name AS "select", population AS [from] FROM main.city ORDER BY 2 DESC NULLS LAST
SELECT v.column1 FROM (VALUES (1), (2)) AS v ORDER BY 1 DESC
SELECT 9007199254740992, -9007199254740992, 1.7976931348623157e308, 0.1 + 0.2, -0.0
"""  # noqa: E501 - one statement a line
STATEMENTS = [line.replace("{newline}", "\n") for line in LEGAL.strip().splitlines()]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Databases, sqlite3.Connection]]:
    path: Path = tmp_path_factory.mktemp("legal") / "legal.db"
    reference = sqlite3.connect(path)
    reference.executescript(SCRIPT)
    settings = SqlSettings.model_validate({"databases": {"legal": path}})
    async with Databases(settings) as databases:
        yield databases, reference
    reference.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("sql", STATEMENTS, ids=[f"{sql:.70}" for sql in STATEMENTS])
async def test_a_legal_statement_gives_what_sqlite3_gives(
    both: tuple[Databases, sqlite3.Connection], sql: str
) -> None:
    databases, reference = both
    cursor = reference.execute(sql)
    expected: list[tuple[Any, ...]] = cursor.fetchall()
    rows = await databases.query(sql, limit=1_000)
    assert rows.rows == expected
    assert rows.columns == tuple(column[0] for column in cursor.description)
    assert not rows.truncated
    assert json.loads(rows.json_text())["rows"] == [list(row) for row in expected]
