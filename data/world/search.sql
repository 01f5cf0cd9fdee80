-- Fills city_trgm: the main name of every city and, from 100,000 people on, its other Latin names.
-- By size, so that a search which stops early has seen the big cities.
INSERT INTO city_trgm (norm, city_id)
SELECT n.norm, n.city_id
FROM city_name n
JOIN city c ON c.id = n.city_id
WHERE length(n.norm) > 2
  AND (n.is_main OR (c.population >= 100000 AND n.norm GLOB '[a-z]*' AND n.norm NOT GLOB '*[^ -~]*'))
ORDER BY c.population DESC, n.city_id, n.norm;

INSERT INTO city_trgm (city_trgm) VALUES ('optimize');
