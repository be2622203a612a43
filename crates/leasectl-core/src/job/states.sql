-- The states of live jobs as users see them, in the order asked for.
-- $1 ids. Locks: none. Index: job_pkey, once for each id (see heartbeat.sql). One row for each id.
select case live.state when 'waiting' then 'waiting' when 'running' then 'running' else 'queued' end
  from unnest($1::uuid[]) with ordinality as i (id, ord)
  left join lateral (select j.state from leasectl.job j where j.id = i.id limit 1) live on true
 order by i.ord
