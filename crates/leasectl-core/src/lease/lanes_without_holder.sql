-- Lanes with waiting jobs, found by hopping over the index from lane to lane, so that a lane of
-- 100,000 waiting jobs costs one look. $1 repository, $2 lane to start after (null: the first),
-- $3 at most so many lanes. Locks: none. Index: job_parked.
-- The last column tells whether nobody holds the lane. Zero rows: no more lanes.
with recursive hop as (
  (select j.repo_id, j.lane from leasectl.job j
    where j.state = 'waiting' and ($1::uuid is null or (j.repo_id, j.lane) > ($1::uuid, $2::text))
    order by j.repo_id, j.lane limit 1)
  union all
  select next.repo_id, next.lane
    from hop cross join lateral (
      select j.repo_id, j.lane from leasectl.job j
       where j.state = 'waiting' and (j.repo_id, j.lane) > (hop.repo_id, hop.lane)
       order by j.repo_id, j.lane limit 1) next
)
select hop.repo_id, hop.lane,
       not exists (select from leasectl.job held
                    where held.repo_id = hop.repo_id and held.lane = hop.lane
                      and (held.state in ('ready', 'running')
                           or (held.lane = 'stack' and held.state = 'scheduled'))) as free
  from hop
 limit $3
