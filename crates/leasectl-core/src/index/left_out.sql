-- Why the symbols and imports of a blob are left out. $1 ruleset, $2 blob, $3 names of extractors.
-- Locks: none. Index: index_ruleset_extractor_pkey, index_tags_pkey; the limit keeps a plan that was made for
-- a small table from reading all of it. Zero rows: they are there, or none of the extractors saw the blob.
select g.skip
  from leasectl.index_ruleset_extractor e
 cross join lateral (select t.skip from leasectl.index_tags t
                      where t.blob_id = $2 and t.extractor_id = e.extractor_id limit 1) g
 where e.ruleset_id = $1 and e.name = any($3::text[]) and g.skip is not null
 limit 1
