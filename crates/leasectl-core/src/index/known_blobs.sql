-- What is known of blobs. $1 trust domain, $2 extractor of the text, $3 object ids.
-- Locks: none. Index: index_blob_oid_key, index_text_pkey, index_tags_pkey; the limit keeps a plan that was
-- made for a small table from reading all of it. Missing rows: blobs that are not known.
select k.ord, b.id, b.bytes, x.blob_id is not null as extracted, x.skip, x.hint,
       array(select g.extractor_id from leasectl.index_tags g where g.blob_id = b.id) as tags
  from unnest($3::bytea[]) with ordinality k(oid, ord)
 cross join lateral (select i.id, i.bytes from leasectl.index_blob i
                      where i.domain_id = $1 and i.oid = k.oid limit 1) b
  left join lateral (select t.blob_id, t.skip, t.hint from leasectl.index_text t
                      where t.blob_id = b.id and t.extractor_id = $2 limit 1) x on true
