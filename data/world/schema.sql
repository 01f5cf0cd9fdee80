-- The tables of world.db. Codes are ISO 3166, ISO 4217 and BCP 47; data/README.md says more.
PRAGMA application_id = 0x574f524c;
PRAGMA user_version = 1;

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE continent (
  code TEXT PRIMARY KEY CHECK (length(code) = 2),
  name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE currency (
  code TEXT PRIMARY KEY CHECK (length(code) = 3),
  name TEXT NOT NULL,
  symbol TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE language (
  code TEXT PRIMARY KEY, -- BCP 47: es, zh-Hant
  name TEXT NOT NULL, -- in English
  native_name TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE country (
  code TEXT PRIMARY KEY CHECK (length(code) = 2),
  code3 TEXT NOT NULL UNIQUE CHECK (length(code3) = 3),
  name TEXT NOT NULL,
  official_name TEXT,
  continent_code TEXT NOT NULL REFERENCES continent (code),
  currency_code TEXT REFERENCES currency (code),
  area_km2 REAL,
  population INTEGER,
  phone TEXT,
  tld TEXT,
  capital_city_id INTEGER REFERENCES city (id) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

-- First-level regions: states, provinces, prefectures. In the US the code is the state's postal one.
CREATE TABLE region (
  country_code TEXT NOT NULL REFERENCES country (code) DEFERRABLE INITIALLY DEFERRED,
  code TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (country_code, code)
) STRICT, WITHOUT ROWID;

-- Other names of regions, local and official, and their ISO 3166-2 codes, spelt as city_name's are.
CREATE TABLE region_name (
  norm TEXT NOT NULL,
  country_code TEXT NOT NULL,
  region_code TEXT NOT NULL,
  PRIMARY KEY (norm, country_code, region_code),
  FOREIGN KEY (country_code, region_code) REFERENCES region (country_code, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE country_language (
  country_code TEXT NOT NULL REFERENCES country (code),
  language_code TEXT NOT NULL REFERENCES language (code),
  population_percent REAL, -- of the country's people who speak it
  official_status TEXT, -- official, de_facto_official, official_regional, or NULL
  PRIMARY KEY (country_code, language_code)
) STRICT, WITHOUT ROWID;

CREATE TABLE country_neighbour (
  country_code TEXT NOT NULL REFERENCES country (code),
  neighbour_code TEXT NOT NULL REFERENCES country (code),
  PRIMARY KEY (country_code, neighbour_code)
) STRICT, WITHOUT ROWID;

CREATE TABLE city (
  id INTEGER PRIMARY KEY, -- the GeoNames id
  name TEXT NOT NULL,
  country_code TEXT NOT NULL REFERENCES country (code),
  region_code TEXT,
  latitude REAL NOT NULL CHECK (latitude BETWEEN -90 AND 90),
  longitude REAL NOT NULL CHECK (longitude BETWEEN -180 AND 180),
  population INTEGER NOT NULL,
  timezone TEXT NOT NULL, -- an IANA name
  names INTEGER NOT NULL, -- how many it has in all scripts: how widely it is known
  FOREIGN KEY (country_code, region_code) REFERENCES region (country_code, code)
) STRICT;

-- Every name of a city in every script, as normalise() in backends/weather/names.py spells it.
CREATE TABLE city_name (
  norm TEXT NOT NULL,
  city_id INTEGER NOT NULL REFERENCES city (id),
  is_main INTEGER NOT NULL CHECK (is_main IN (0, 1)),
  PRIMARY KEY (norm, city_id)
) STRICT, WITHOUT ROWID;

-- What the names of the larger cities sound like, as sound() in backends/weather/sounds.py says.
CREATE TABLE city_sound (
  sound TEXT NOT NULL,
  city_id INTEGER NOT NULL REFERENCES city (id),
  PRIMARY KEY (sound, city_id)
) STRICT, WITHOUT ROWID;

-- For misspelt names: MATCH '"abc" OR "bcd"'. Rows are in the order of population, largest first.
CREATE VIRTUAL TABLE city_trgm USING fts5 (norm, city_id UNINDEXED, tokenize = 'trigram', detail = none);

CREATE INDEX city_by_country ON city (country_code, population DESC);
CREATE INDEX city_by_population ON city (population DESC);
CREATE INDEX country_by_continent ON country (continent_code);
CREATE INDEX country_by_currency ON country (currency_code);
CREATE INDEX country_by_language ON country_language (language_code);

CREATE VIEW city_detail AS
SELECT c.id, c.name, r.name AS region, k.name AS country, c.country_code, c.region_code,
  c.latitude, c.longitude, c.population, c.timezone, k.capital_city_id IS c.id AS is_capital, c.names
FROM city c
JOIN country k ON k.code = c.country_code
LEFT JOIN region r ON r.country_code = c.country_code AND r.code = c.region_code;

CREATE VIEW country_detail AS
SELECT k.code, k.name, t.name AS continent, c.name AS capital, k.population, k.area_km2,
  round(k.population / nullif(k.area_km2, 0), 1) AS people_per_km2,
  k.currency_code, y.name AS currency, y.symbol AS currency_symbol
FROM country k
JOIN continent t ON t.code = k.continent_code
LEFT JOIN city c ON c.id = k.capital_city_id
LEFT JOIN currency y ON y.code = k.currency_code;

CREATE VIEW country_language_detail AS
SELECT k.name AS country, l.name AS language, l.native_name, s.population_percent, s.official_status,
  s.country_code, s.language_code
FROM country_language s
JOIN country k ON k.code = s.country_code
JOIN language l ON l.code = s.language_code;
