-- The numbers of blobs, which stay until the transaction ends. $1 trust domain, $2 object ids, sorted.
-- Locks: the rows FOR KEY SHARE, inside the fence, in the order given; only the collector is in their way.
-- Index: index_blob_oid_key. Missing rows: the collector took them since they were registered.
select k.ord, b.id
  from unnest($2::bytea[]) with ordinality k(oid, ord)
 cross join lateral (select i.id from leasectl.index_blob i
                      where i.domain_id = $1 and i.oid = k.oid limit 1 for key share) b
