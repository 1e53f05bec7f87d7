-- What SQLite does in bench/cache.py: inserts, indices, joins, sorted and
-- grouped queries over a database in memory.  All answers are whole numbers
-- and text, so that every build of SQLite gives the same.
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, town INTEGER, born INT);
CREATE TABLE town(id INTEGER PRIMARY KEY, name TEXT, land TEXT);
CREATE TABLE sale(id INTEGER PRIMARY KEY, buyer INT, cents INT, day INT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO town SELECT i, 'town ' || (i * 7919 % 500), 'land ' || (i % 23)
FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO person SELECT i, 'name ' || (i * 48271 % 65537), i * 31 % 500 + 1,
1930 + i * 17 % 80 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80000)
INSERT INTO sale SELECT i, i * 69621 % 20000 + 1, i * 16807 % 99991,
i * 13 % 730 FROM n;
COMMIT;
CREATE INDEX person_name ON person(name);
CREATE INDEX person_town ON person(town, born);
CREATE INDEX sale_buyer ON sale(buyer);
CREATE INDEX sale_day ON sale(day, cents);
SELECT count(*), sum(cents), min(cents), max(cents) FROM sale;
SELECT t.land, count(*), sum(s.cents) FROM town t
JOIN person p ON p.town = t.id JOIN sale s ON s.buyer = p.id
GROUP BY t.land ORDER BY sum(s.cents) DESC LIMIT 5;
SELECT p.name, sum(s.cents) AS spent FROM person p
JOIN sale s ON s.buyer = p.id WHERE s.day BETWEEN 100 AND 300
GROUP BY p.id ORDER BY spent DESC, p.name LIMIT 5;
SELECT name, born FROM person WHERE name LIKE '%77%'
ORDER BY born, name LIMIT 5;
SELECT count(*), sum(b.born - a.born) FROM person a JOIN person b
ON a.town = b.town AND a.born < b.born;
SELECT day, cents FROM sale ORDER BY cents * 7 % 1009, id LIMIT 5 OFFSET 40000;
UPDATE sale SET cents = cents + 1 WHERE buyer % 3 = 0;
DELETE FROM sale WHERE day % 5 = 1;
SELECT count(*), sum(cents), count(DISTINCT buyer) FROM sale;
SELECT length(group_concat(upper(substr(name, 3, 4)) ||
replace(name, 'n', 'm'))) FROM (SELECT name FROM person ORDER BY name);
