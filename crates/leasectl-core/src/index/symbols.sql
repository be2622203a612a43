-- The symbols of the files of a tree, packed. $1 its directory, $2 a part of a name, or null for every file.
-- Locks: none. Index: index_dir_pkey, index_treatment_pkey, index_ruleset_extractor_pkey, index_tags_pkey; the
-- limits keep a plan that was made for a small table from reading all of it.
-- Zero rows: no file has any, or the tree was collected.
select w.prefix || f.name as path, g.symbols
  from leasectl.index_walk($1, null) w
 cross join lateral unnest(string_to_array(w.file_names, '/'), w.file_blobs, w.file_treatments)
       f(name, blob_id, treatment_id)
 cross join lateral (select i.tags from leasectl.index_treatment i where i.id = f.treatment_id limit 1) t
 cross join lateral (select i.extractor_id from leasectl.index_ruleset_extractor i
                      where i.ruleset_id = w.ruleset_id and i.name = t.tags limit 1) e
 cross join lateral (select i.symbols from leasectl.index_tags i
                      where i.blob_id = f.blob_id and i.extractor_id = e.extractor_id limit 1) g
 where g.symbols is not null and ($2::text is null or strpos(g.symbols, $2) > 0)
