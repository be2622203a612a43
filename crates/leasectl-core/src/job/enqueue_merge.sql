-- Accepts jobs of which some collide: each is inserted as waiting, or merged into the equal job that was
-- never claimed: the higher priority and the earlier time win. Promotion is the caller's next step.
-- Parameters as in enqueue.sql. Nothing is changed when a repository is unknown.
-- Locks: the new or the equal rows until the transaction ends, so that a job handed back as the
-- duplicate cannot start before the caller's commit. All are taken in the order of enqueue.sql, and no
-- lane is, so that two batches do not wait for each other in a circle. Index: job_dedup.
-- One row for each job asked for; `known` is false for an unknown repository.
with input as materialized (
  select i.ord, i.repo_id, i.kind, i.lane, i.args, leasectl.dedup_key(i.args) as dedup_key, i.priority,
         coalesce(i.at, now() + i.delay * interval '1 second') as not_before,
         (select r.id from leasectl.repository r where r.id = i.repo_id) is not null as known
    from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::timestamptz[], $7::float8[])
         with ordinality as i (repo_id, kind, lane, args, priority, at, delay, ord)
), wanted as materialized (
  -- Equal jobs of the batch are one job.
  select leasectl.uuid_v7() as id, nextval('leasectl.job_seq') as seq, once.*
    from (select i.repo_id, i.kind, i.lane, i.dedup_key, min(i.ord) as ord,
                 (array_agg(i.args order by i.ord))[1] as args, max(i.priority) as priority,
                 case when bool_or(i.not_before is null) then null else min(i.not_before) end as not_before
            from input i
           group by i.repo_id, i.kind, i.lane, i.dedup_key
           order by min(i.ord)) once
   where not exists (select from input where not known)
), accepted as (
  insert into leasectl.job as j (id, seq, repo_id, kind, lane, args, dedup_key, priority, not_before, state)
  select w.id, w.seq, w.repo_id, w.kind, w.lane, w.args, w.dedup_key, w.priority, w.not_before,
         case when w.lane <> 'stack' and w.not_before > now() then 'scheduled' else 'waiting' end
    from wanted w
   order by w.repo_id, w.lane, w.kind, w.dedup_key
  on conflict (repo_id, kind, dedup_key) where dedup_key is not null do update
     set priority = greatest(j.priority, excluded.priority),
         not_before = case when j.not_before is null or excluded.not_before is null then null
                           else least(j.not_before, excluded.not_before) end,
         state = case when j.state <> 'scheduled' or excluded.not_before > now() then j.state
                      when j.lane = 'stack' then 'ready'
                      else 'waiting' end
  returning j.id, j.repo_id, j.kind, j.dedup_key
)
select i.ord, i.known, a.id, (a.id, i.ord) is distinct from (w.id, w.ord) as deduplicated
  from input i
  left join wanted w on w.repo_id = i.repo_id and w.kind = i.kind and w.dedup_key = i.dedup_key
  left join accepted a on a.repo_id = i.repo_id and a.kind = i.kind and a.dedup_key = i.dedup_key
