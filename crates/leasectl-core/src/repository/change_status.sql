-- A repository's synchronisation diagnostics. $1 name, $2 so many of its finished jobs are looked at, the latest.
-- Locks: none. Index: repository_name_key, job_one_per_lane, job_parked, job_history_repo, index_ref_pkey,
-- backfill_pkey, change_inventory_pkey, change_key, change_snapshot_pkey, change_failure_pkey.
-- Zero rows: there is no such repository.
with repo as (
  select r.id, r.name, r.last_successful_fetch_at, r.dirty_since, r.last_webhook_at, r.last_requested_fetch_at
    from leasectl.repository r where r.name = $1
), live as (
  select j.* from leasectl.job j join repo on repo.id = j.repo_id
   where j.state in ('ready', 'running')
  union all
  select j.* from leasectl.job j join repo on repo.id = j.repo_id
   where j.state in ('waiting', 'scheduled')
), held as (
  select live.lane, live.lease_owner as owner, live.lease_heartbeat_at as heartbeat_at,
         live.lease_expires_at as expires_at
    from live where live.state = 'running'
), ended as materialized (
  -- Read once for all kinds: an index that helps with the kind would cost every settlement. And of a busy
  -- repository not all, which would be what many days have left.
  select h.kind, h.args, h.created_at, h.started_at, h.finished_at, h.state, h.last_error
    from repo
   cross join lateral (
     select latest.* from leasectl.job_history latest
      where latest.repo_id = repo.id
      order by latest.id desc
      limit $2) h
   where h.kind in ('fetch', 'index', 'backfill')
), finished as (
  select * from ended where kind = 'fetch'
), indexed as (
  -- A job that nobody ever claimed has indexed nothing.
  select max(every.started_at) as last_started_at, max(every.finished_at) as last_finished_at
    from (select lease_acquired_at as started_at, null::timestamptz as finished_at from live where kind = 'index'
          union all
          select started_at, finished_at from ended where kind = 'index' and started_at is not null) every
), requested as (
  select max(every.created_at) as last_at, max(every.started_at) as last_started_at
    from (select created_at, lease_acquired_at as started_at from live where kind = 'fetch'
          union all
          select created_at, started_at from finished) every
), unmet as (
  -- Requests that no successful fetch of everything has answered: it must have started after they came.
  select min(every.created_at) as since
    from (select created_at from live where kind = 'fetch'
          union all
          select created_at from finished where state <> 'completed'
          union all
          -- Also what a webhook asked for in a job whose history is gone.
          select dirty_since from repo) every
   where every.created_at > coalesce((select max(started_at) from finished where state = 'completed' and args = '{}'),
                                     '-infinity')
), open_changes as (
  -- Those that are not known to be closed; nothing is known before a fetch has said what there is.
  select i.repo_id, count(c.change_id) filter (where c.open is distinct from false) as total,
         count(*) filter (where c.open and c.freshness = 'current') as current,
         count(*) filter (where c.open and c.freshness <> 'current') as stale,
         count(c.change_id) filter (where c.open is null) as missing
    from repo
    join leasectl.change_inventory i on i.repo_id = repo.id
    left join leasectl.change_state c on c.repo_id = i.repo_id
   group by i.repo_id
)
select repo.id, repo.name, repo.last_successful_fetch_at,
       case when unmet.since is not null then true
            when coalesce(repo.last_requested_fetch_at, requested.last_at) is not null then false end as dirty,
       unmet.since as dirty_since,
       greatest(repo.last_requested_fetch_at, requested.last_at) as last_requested_fetch_at,
       repo.last_webhook_at,
       requested.last_started_at as last_fetch_started_at,
       (select max(finished_at) from finished) as last_fetch_finished_at,
       indexed.last_started_at as last_index_started_at,
       -- An index may be older than all the jobs that were looked at: then this is when it was published.
       coalesce(indexed.last_finished_at,
                (select max(x.indexed_at) from leasectl.index_ref x
                  where x.repo_id = repo.id and indexed.last_started_at is null)) as last_index_finished_at,
       (select e.last_error
          from (select kind, last_error, coalesce(lease_heartbeat_at, not_before, created_at) as at
                  from live where last_error is not null
                union all
                select kind, last_error, finished_at
                  from ended where last_error is not null and kind in ('fetch', 'backfill')) e
         -- What a later success has cured is over.
         where e.at > coalesce(case e.kind when 'backfill' then b.finished_at else repo.last_successful_fetch_at end,
                               '-infinity')
         order by e.at desc limit 1) as last_error,
       b.started_at as last_backfill_started_at, b.finished_at as last_backfill_finished_at,
       b.finished_at as last_open_pr_scan_at, b.mode as backfill_mode,
       case when b.mode is not null then b.priority end as backfill_priority,
       b.cursor_number as open_pr_cursor_number, b.cursor_updated_at as open_pr_cursor_updated_at,
       changes.total as open_pr_total, changes.current as open_pr_current, changes.stale as open_pr_stale,
       changes.missing as open_pr_missing,
       f.owner as fetch_owner, f.heartbeat_at as fetch_heartbeat_at, f.expires_at as fetch_expires_at,
       i.owner as index_owner, i.heartbeat_at as index_heartbeat_at, i.expires_at as index_expires_at,
       l.owner as backfill_owner, l.heartbeat_at as backfill_heartbeat_at, l.expires_at as backfill_expires_at,
       s.owner as stack_owner, s.heartbeat_at as stack_heartbeat_at, s.expires_at as stack_expires_at
  from repo
 cross join requested
 cross join indexed
 cross join unmet
  left join leasectl.backfill b on b.repo_id = repo.id
  left join open_changes changes on changes.repo_id = repo.id
  left join held f on f.lane = 'fetch'
  left join held i on i.lane = 'index'
  left join held l on l.lane = 'backfill'
  left join held s on s.lane = 'stack'
