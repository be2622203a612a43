-- A change with what is known of it. $1 change. Locks: none.
-- Index: change_pkey, change_inventory_pkey, backfill_pkey, change_snapshot_pkey, change_failure_pkey.
-- Zero rows: it is gone.
select c.family, c.number, c.ref, c.head, c.studied_head, c.base, c.merge_base, c.open, c.freshness,
       c.commit_count, c.file_count, c.additions, c.deletions, c.limits, c.head_moved_at, c.studied_at, c.checked_at,
       c.tries, c.is_parked, c.retry_at, c.error
  from leasectl.change_state c
 where c.change_id = $1
