-- The imports of the files of a tree, packed, and to what they lead. $1 its directory, $2 its links, or null.
-- Locks: none. Index: index_dir_pkey, index_links_pkey, index_treatment_pkey, index_ruleset_extractor_pkey,
-- index_tags_pkey; the limits keep a plan that was made for a small table from reading all of it.
-- Zero rows: no file has any, or the tree was collected.
select w.prefix || f.name as path, g.imports, f.links
  from leasectl.index_walk($1, $2) w
 cross join lateral unnest(string_to_array(w.file_names, '/'), w.file_blobs, w.file_treatments, w.file_links)
       f(name, blob_id, treatment_id, links)
 cross join lateral (select i.tags from leasectl.index_treatment i where i.id = f.treatment_id limit 1) t
 cross join lateral (select i.extractor_id from leasectl.index_ruleset_extractor i
                      where i.ruleset_id = w.ruleset_id and i.name = t.tags limit 1) e
 cross join lateral (select i.imports from leasectl.index_tags i
                      where i.blob_id = f.blob_id and i.extractor_id = e.extractor_id limit 1) g
 where g.imports is not null
