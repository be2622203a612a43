-- Writes what has moved of changes. $1 ids, $2 refs, $3 heads, $4 test merges (null for none).
-- Locks: the rows, inside the fence, not as keys: who writes below them does not wait. Index: change_pkey.
-- Zero rows: they were gone.
update leasectl.change c
   set ref = m.ref, head = m.head, test_merge = m.test_merge,
       head_moved_at = case when c.head = m.head then c.head_moved_at else now() end
  from unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[]) m(id, ref, head, test_merge)
 where c.id = m.id
