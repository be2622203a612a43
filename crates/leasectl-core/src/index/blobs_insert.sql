-- Registers blobs. $1 trust domain, $2 object ids, $3 sizes in bytes.
-- Locks: the new rows, inside the fence, in the order of the object ids; who stores the same waits for the
-- commit. Index: index_blob_oid_key. Zero rows: all are registered.
insert into leasectl.index_blob (domain_id, oid, bytes)
select $1, b.oid, b.bytes from unnest($2::bytea[], $3::bigint[]) b(oid, bytes)
 order by b.oid
on conflict do nothing
