-- The queue of every kind that is known or has jobs. $1 repository (null: all).
-- Locks: none. Index: job_history_errors for the errors; the live jobs are all counted.
-- Zero rows: no kind is known.
with live as (
  select j.kind,
         count(*) filter (where j.state = 'ready') as queued,
         count(*) filter (where j.state = 'scheduled') as scheduled,
         count(*) filter (where j.state = 'waiting') as waiting,
         count(*) filter (where j.state = 'running') as running,
         min(j.created_at) filter (where j.state = 'ready') as oldest_queued_at
    from leasectl.job j
   where $1::uuid is null or j.repo_id = $1
   group by j.kind
), failed as (
  select h.kind, count(*) as error_24h
    from leasectl.job_history h
   where h.state = 'error' and h.finished_at > now() - interval '24 hours'
     and ($1::uuid is null or h.repo_id = $1)
   group by h.kind
)
select kind, coalesce(queued, 0) as queued, coalesce(scheduled, 0) as scheduled,
       coalesce(waiting, 0) as waiting, coalesce(running, 0) as running,
       coalesce(error_24h, 0) as error_24h, oldest_queued_at
  from (select k.name as kind from leasectl.kind k
        union select live.kind from live
        union select failed.kind from failed) every
  left join live using (kind)
  left join failed using (kind)
 order by kind
