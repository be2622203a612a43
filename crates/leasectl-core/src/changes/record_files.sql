-- Writes the files of changes. $1 repository; for each file $2 change, $3 place, $4 path, $5 old path, $6 status,
-- $7 additions, $8 deletions, $9 blob, $10 and $11 the slice of $12 hunks, four numbers each (no slice: none).
-- Locks: the new rows, inside the fence and under those of their changes. Index: change_snapshot_pkey.
insert into leasectl.change_file
      (change_id, ord, path, old_path, status, additions, deletions, blob, hunks, path_key, old_path_key)
select n.change_id, n.ord, n.path, n.old_path, n.status, n.additions, n.deletions, n.blob,
       case when n.hunks_to >= n.hunks_from then ($12::integer[])[n.hunks_from:n.hunks_to] end,
       leasectl.change_path_key($1, n.path), leasectl.change_path_key($1, n.old_path)
  from unnest($2::bigint[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::integer[],
              $9::bytea[], $10::integer[], $11::integer[])
       n(change_id, ord, path, old_path, status, additions, deletions, blob, hunks_from, hunks_to)
