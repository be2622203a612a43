-- The states of live jobs as users see them, in the order asked for.
-- $1 ids. Locks: none. Index: job_pkey. One row for each id.
select case j.state when 'waiting' then 'waiting' when 'running' then 'running' else 'queued' end
  from unnest($1::uuid[]) with ordinality as i (id, ord)
  left join leasectl.job j on j.id = i.id
 order by i.ord
