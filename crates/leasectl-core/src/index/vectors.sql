-- The trigrams of blobs. $1 ruleset, $2 blobs. Locks: none. Index: index_text_pkey.
-- Missing rows: blobs without text, or collected.
select x.blob_id, x.vector
  from leasectl.index_ruleset_extractor e
 cross join unnest($2::bigint[]) k(id)
 cross join lateral (select t.blob_id, t.vector from leasectl.index_text t
                      where t.blob_id = k.id and t.extractor_id = e.extractor_id limit 1) x
 where e.ruleset_id = $1 and e.name = 'trigram' and x.vector is not null
