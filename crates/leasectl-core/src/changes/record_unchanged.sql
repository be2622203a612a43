-- Notes that changes are what they were. $1 epoch, $2 head of the default branch; for each change $3 id, $4 test
-- merge, $5 base. No index changes. Locks: the rows, inside the fence and under those of their changes.
-- Index: change_snapshot_pkey. Missing rows: they have no snapshot.
update leasectl.change_snapshot s
   set epoch = $1, default_head = $2, test_merge = n.test_merge, base = n.base, checked_at = now()
  from unnest($3::bigint[], $4::bytea[], $5::bytea[]) n(change_id, test_merge, base)
 where s.change_id = n.change_id
