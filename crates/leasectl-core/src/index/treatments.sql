-- Every treatment; there are a few dozen. Locks: none. Index: index_treatment_pkey. Zero rows: none is known.
select t.id, t.language, t.text, t.tags, t.skip from leasectl.index_treatment t order by t.id
