-- Inserts new jobs straight into their lanes, or finds the equal job that was never claimed and needs
-- no change. Nothing is inserted when a repository is unknown.
-- $1 repositories, $2 kinds, $3 lanes, $4 canonical args, $5 priorities, $6 absolute times,
-- $7 delays in seconds (both null: at once).
-- Locks: the new rows; none on an equal job, so this must be a transaction of its own: whatever the caller
-- committed before is older than the snapshot in which that job was still unclaimed. A statement that
-- only finds equal jobs writes nothing. Rows are inserted in one fixed order, so that two batches never
-- wait for each other in a circle. Index: job_one_per_lane, job_parked, job_dedup.
-- A row whose state is null was not inserted: it collided with an equal job or with a holder of its
-- lane, or is more urgent than the lane's ready job; then all are undone, and enqueue_merge.sql takes
-- it from there.
-- `known` is false for an unknown repository.
-- Whatever is looked up by its key is looked up alone, with a limit or as a scalar: a plan that was made while
-- the table was empty, and is kept, would otherwise read the whole index for each job of a burst.
with asked as materialized (
  select i.ord, i.repo_id, i.kind, i.lane, i.args, leasectl.dedup_key(i.args) as dedup_key, i.priority,
         coalesce(i.at, now() + i.delay * interval '1 second') as not_before,
         (select r.id from leasectl.repository r where r.id = i.repo_id) is not null as known
    from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::timestamptz[], $7::float8[])
         with ordinality as i (repo_id, kind, lane, args, priority, at, delay, ord)
), input as materialized (
  select a.*, equal.id as equal_id, equal.state as equal_state,
         case when equal.id is null then leasectl.uuid_v7() end as fresh_id
    from asked a
    left join lateral (
      select e.id, e.state from leasectl.job e
       where e.repo_id = a.repo_id and e.kind = a.kind and e.dedup_key = a.dedup_key
         and e.priority >= a.priority and (e.not_before is null or e.not_before <= a.not_before)
       limit 1) equal on true
   order by a.ord
), fresh as materialized (
  select i.fresh_id as id, nextval('leasectl.job_seq') as seq, i.*,
         i.lane <> 'stack' and i.not_before is not null and i.not_before > now() as delayed
    from input i
   where i.equal_id is null
), placed as (
  select f.*, held.rank as held_rank, held.state as held_state,
         -- Only the first of a lane's newcomers can take it.
         row_number() over (partition by f.repo_id, f.lane, f.delayed
                            order by case f.lane when 'stack' then 0 else -f.priority end, f.ord) as place
    from fresh f
    left join lateral (
      select h.rank, h.state from leasectl.job h
       where h.repo_id = f.repo_id and h.lane = f.lane
         and (h.state in ('ready', 'running') or (h.lane = 'stack' and h.state = 'scheduled'))
       limit 1) held on true
), inserted as (
  insert into leasectl.job (id, seq, repo_id, kind, lane, args, dedup_key, priority, not_before, state)
  select p.id, p.seq, p.repo_id, p.kind, p.lane, p.args, p.dedup_key, p.priority, p.not_before,
         case when p.delayed then 'scheduled'
              when p.held_state is not null or p.place > 1
                or exists (select from leasectl.job w
                            where w.state = 'waiting' and w.repo_id = p.repo_id and w.lane = p.lane)
              then 'waiting'
              when p.not_before > now() then 'scheduled'
              else 'ready' end
    from placed p
   where not exists (select from input where not known)
     and (p.delayed or p.lane = 'stack' or p.held_state is distinct from 'ready' or p.held_rank <= -p.priority)
   order by p.repo_id, p.lane, p.kind, p.dedup_key, p.ord
  on conflict do nothing
  returning id, state
)
select i.ord, i.known, true as deduplicated, i.equal_id as id, i.equal_state as state
  from input i
 where i.equal_id is not null
union all
-- Grouped, not joined: a plan that is kept takes each of these for a few rows, and a join of the thousand
-- that were asked for with the thousand that were inserted becomes a loop over the product.
select max(e.ord), bool_or(e.known), false, e.id, max(e.state)
  from (select i.ord, i.known, i.fresh_id as id, null as state from input i where i.equal_id is null
        union all
        select null, null, n.id, n.state from inserted n) e
 group by e.id
