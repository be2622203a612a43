-- Begins a pass, or resumes the one of the same mode that did not come to its end. A newer inventory does not have it
-- begin anew: a branch that moves faster than a pass would keep the last changes from ever being studied.
-- $1 repository, $2 the mode of the job, $3 the job.
-- The later word wins: that of the job counts from when it was accepted.
-- Locks: the row of the backfill, inside the fence. Index: backfill_pkey, change_inventory_pkey, job_pkey.
-- Zero rows: the repository is gone. A null generation: no fetch has recorded an inventory, and no pass began; none
-- does when the mode is `off` either.
with before as materialized (
  select b.* from leasectl.backfill b where b.repo_id = $1 for no key update
), said as (
  select b.repo_id,
         case when w.is_later then $2 else b.mode end as mode,
         case when w.is_later then j.created_at else b.said_at end as said_at,
         case when b.mode is null then j.priority else b.priority end as priority
    from before b
    join leasectl.job j on j.id = $3
   cross join lateral (select b.said_at is null or j.created_at >= b.said_at as is_later) w
), pass as (
  select b.repo_id, s.mode, s.said_at, s.priority, i.generation, i.default_head,
         b.default_head as previous_default_head, i.generation is not null and s.mode <> 'off' as begins,
         coalesce(b.pass_is_open and b.pass_mode = s.mode, false) as resumes
    from before b
    join said s on s.repo_id = b.repo_id
    left join leasectl.change_inventory i on i.repo_id = b.repo_id
)
update leasectl.backfill b
   set mode = p.mode, said_at = p.said_at, priority = p.priority,
       default_head = case when p.begins then coalesce(b.default_head, p.default_head) else b.default_head end,
       pass_generation = case when p.begins and not p.resumes then p.generation else b.pass_generation end,
       pass_mode = case when p.begins then p.mode else b.pass_mode end,
       pass_is_open = b.pass_is_open or p.begins,
       cursor_family = case when p.begins and not p.resumes then null else b.cursor_family end,
       cursor_number = case when p.begins and not p.resumes then null else b.cursor_number end,
       cursor_updated_at = case when p.begins and not p.resumes then null else b.cursor_updated_at end,
       started_at = case when p.begins and not p.resumes then now() else b.started_at end
  from pass p
 where b.repo_id = p.repo_id
returning b.mode, p.generation, p.default_head, p.previous_default_head, p.resumes, b.epoch, b.cursor_family,
          b.cursor_number, b.history_head
