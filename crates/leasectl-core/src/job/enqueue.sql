-- Inserts new jobs straight into their lanes. Nothing is inserted when a repository is unknown.
-- $1 repositories, $2 kinds, $3 lanes, $4 canonical args, $5 priorities, $6 absolute times,
-- $7 delays in seconds (both null: at once).
-- Locks: the new rows. Rows are inserted in one fixed order, so that two batches never wait for each
-- other in a circle. Index: job_one_per_lane, job_dedup.
-- A row whose state is null was not inserted: it collided with an equal job or with a holder of its
-- lane, and enqueue_one.sql takes it from there. `known` is false for an unknown repository.
with input as materialized (
  select i.ord, leasectl.uuid_v7() as id, nextval('leasectl.job_seq') as seq, i.repo_id, i.kind, i.lane,
         i.args, leasectl.dedup_key(i.args) as dedup_key, i.priority,
         coalesce(i.at, now() + i.delay * interval '1 second') as not_before,
         r.id is not null as known
    from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::timestamptz[], $7::float8[])
         with ordinality as i (repo_id, kind, lane, args, priority, at, delay, ord)
    left join leasectl.repository r on r.id = i.repo_id
   order by i.ord
), inserted as (
  insert into leasectl.job (id, seq, repo_id, kind, lane, args, dedup_key, priority, not_before, state)
  select i.id, i.seq, i.repo_id, i.kind, i.lane, i.args, i.dedup_key, i.priority, i.not_before,
         case when i.lane <> 'stack' and i.not_before > now() then 'scheduled'
              when exists (select from leasectl.job held
                            where held.repo_id = i.repo_id and held.lane = i.lane
                              and (held.state in ('ready', 'running')
                                   or (held.lane = 'stack' and held.state = 'scheduled')))
                or exists (select from leasectl.job w
                            where w.state = 'waiting' and w.repo_id = i.repo_id and w.lane = i.lane)
              then 'waiting'
              when i.not_before > now() then 'scheduled'
              else 'ready' end
    from input i
   where not exists (select from input where not known)
   order by i.repo_id, i.lane, i.kind, i.dedup_key, i.ord
  on conflict do nothing
  returning id, state
)
select i.ord, i.id, i.seq, i.known, inserted.state
  from input i left join inserted on inserted.id = i.id
