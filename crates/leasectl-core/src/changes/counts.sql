-- How many changes stand where. $1 repository. Locks: none.
-- Index: change_key, change_inventory_pkey, backfill_pkey, change_snapshot_pkey, change_failure_pkey,
-- history_commit_key. One row always.
select count(*) as total,
       count(*) filter (where c.freshness = 'current') as current,
       count(*) filter (where c.freshness in ('stale_head_changed', 'stale_base_moved')) as stale,
       count(*) filter (where c.freshness = 'failed') as failed,
       count(*) filter (where c.freshness is null) as missing,
       count(*) filter (where c.is_parked) as parked,
       (select count(*) from leasectl.history_commit m where m.repo_id = $1) as commits
  from leasectl.change_state c
 where c.repo_id = $1
