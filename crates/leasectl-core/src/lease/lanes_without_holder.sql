-- Lanes with waiting jobs, found by hopping over the index from lane to lane, so that a lane of
-- 100,000 waiting jobs costs one look. $1 repository, $2 lane to start after (null: the first),
-- $3 at most so many lanes. Locks: none. Index: job_parked; job_one_per_lane, once for each lane: with
-- "not exists" a plan made for an empty table reads every held lane instead.
-- The last column tells whether nobody holds the lane. Zero rows: no more lanes.
with recursive hop as (
  (select j.repo_id, j.lane from leasectl.job j
    where j.state = 'waiting'
      and (j.repo_id, j.lane) > (coalesce($1::uuid, '00000000-0000-0000-0000-000000000000'), coalesce($2::text, ''))
    order by j.repo_id, j.lane limit 1)
  union all
  select next.repo_id, next.lane
    from hop cross join lateral (
      select j.repo_id, j.lane from leasectl.job j
       where j.state = 'waiting' and (j.repo_id, j.lane) > (hop.repo_id, hop.lane)
       order by j.repo_id, j.lane limit 1) next
)
select hop.repo_id, hop.lane, held.state is null as free
  from hop
  left join lateral (
    select h.state from leasectl.job h
     where h.repo_id = hop.repo_id and h.lane = hop.lane
       and (h.state in ('ready', 'running') or (h.lane = 'stack' and h.state = 'scheduled'))
     limit 1) held on true
 limit $3
