-- Notes a delivery whose repositories all have a fetch queued that will see what it tells of. Else notes nothing.
-- $1 forge, $2 delivery id, $3 remotes that the delivery names, $4 seconds for which a queued fetch may wait.
-- Locks: the new delivery; a repository's row once a second, skipped when somebody else holds it. A storm of
-- deliveries so takes no lock in common.
-- No lock on the queued fetch: it was unclaimed in a snapshot that is younger than what the delivery tells of, so
-- whoever claims it fetches that too. One that failed before and waits for its next attempt counts as well.
-- Index: repository_forge_path, webhook_delivery_pkey, job_dedup, job_one_per_lane, job_parked.
-- One row for each repository that the remotes lead to: its queued fetch, null when there is none, and whether
-- the delivery was noted now. Zero rows: no such repository is registered.
with matched as materialized (
  select r.id
    from (select distinct leasectl.forge_path(named.url) as path from unnest($3::text[]) as named (url)) p
   cross join lateral (
     select found.id from leasectl.repository found
      where leasectl.forge_path(found.git_url) = p.path
      limit 16) r
), wanted as materialized (
  select m.id, queued.id as job_id, queued.created_at
    from (select distinct id from matched) m
    left join lateral (
      select j.id, j.created_at
        from ((select d.* from leasectl.job d
                where d.repo_id = m.id and d.kind = 'fetch' and d.dedup_key = leasectl.dedup_key('{}'))
              union all
              (select h.* from leasectl.job h
                where h.repo_id = m.id and h.lane = 'fetch' and h.state = 'ready' and h.dedup_key is null)
              union all
              -- Those that wait for their next attempt are among the oldest of their lane.
              (select s.* from leasectl.job s
                where s.repo_id = m.id and s.lane = 'fetch' and s.state = 'scheduled'
                order by s.rank, s.seq
                limit 16)
              union all
              (select w.* from leasectl.job w
                where w.repo_id = m.id and w.lane = 'fetch' and w.state = 'waiting'
                order by w.rank, w.seq
                limit 16)) j
       where j.kind = 'fetch' and j.args = '{}'
         and (j.attempt > 0
              or (j.priority >= 0
                  and (j.not_before is null or j.not_before <= now() + $4::float8 * interval '1 second')))
       order by j.created_at
       limit 1) queued on true
), noted as (
  insert into leasectl.webhook_delivery (forge, delivery_id, repo_id)
  select $1, $2, w.id
    from (select id from wanted order by id limit 1) w
   where not exists (select from wanted where job_id is null)
  on conflict do nothing
  returning repo_id
), stale as (
  select r.id, w.created_at
    from wanted w
    join leasectl.repository r on r.id = w.id
   where exists (select from noted)
     and (r.last_webhook_at is null or r.last_webhook_at < now() - interval '1 second' or r.dirty_since is null)
     for no key update of r skip locked
), touched as (
  -- Dirty since the queued fetch was asked for, and not since now: it may be claimed this instant.
  update leasectl.repository r
     set last_webhook_at = now(), dirty_since = coalesce(r.dirty_since, stale.created_at)
    from stale
   where r.id = stale.id
)
select w.id as repo_id, w.job_id, exists (select from noted) as noted,
       -- Nothing but the delivery was written, and the queued fetch is on disk since others see it: a crash of the
       -- server costs a redelivery its being known. So this commit need not wait for the disk.
       case when exists (select from noted) then set_config('synchronous_commit', 'off', true) end as commits_soon
  from wanted w
 order by w.id
