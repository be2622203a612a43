-- Brings lanes into order: a ready job that a waiting one outranks steps back, and the first
-- waiting job of a lane that nobody holds becomes ready. Returns those of the lanes that have a ready job then.
--
-- Also when somebody else made it ready, or it was ready before: a claim passes over a row that is locked, and this
-- call, or the caller's statement before it, may have held that row. Nothing else would tell of it before the next
-- poll.
--
-- Two callers, or a caller and an enqueuer, may pick the same lane; the unique index lets one win.
-- The loser's whole set is undone and tried lane by lane, so a collision never aborts the caller.
--
-- A session keeps the plans of its first calls, often made while the table was empty, when scanning
-- all of it looks cheap. So only nested loops over indexes are allowed here, whatever the planner
-- believes about the size of the table.
create or replace function leasectl.promote(repo_ids uuid[], lanes text[])
returns setof text language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  head record;
begin
  update leasectl.job set state = 'waiting'
   where id = any (array(
     select outranked.id
       from (select distinct * from unnest(repo_ids, lanes) as l(repo_id, lane)) l
      cross join lateral (
        select ready.id
          from leasectl.job ready
         where ready.repo_id = l.repo_id and ready.lane = l.lane and ready.state = 'ready'
           and ready.rank > (select w.rank from leasectl.job w
                              where w.state = 'waiting' and w.repo_id = l.repo_id and w.lane = l.lane
                                and not w.staged
                              order by w.rank, w.seq limit 1)
         limit 1
           for no key update skip locked) outranked))
     and state = 'ready';

  begin
    with heads as (
      select h.id
        from (select distinct * from unnest(repo_ids, lanes) as l(repo_id, lane)) l
       cross join lateral leasectl.lane_head(l.repo_id, l.lane) h
    )
    update leasectl.job j set state = h.state
      from (select id, case when lane = 'stack' and not_before > now() then 'scheduled' else 'ready' end as state
              from leasectl.job where id = any (array(select id from heads))
             -- As enqueue.sql fills them, so that the two never wait for each other in a circle.
             order by repo_id, lane for no key update skip locked) h
     where j.id = h.id and j.state = 'waiting';
  exception when unique_violation then
    for head in
      select h.id
        from (select distinct * from unnest(repo_ids, lanes) as l(repo_id, lane)) l
       cross join lateral leasectl.lane_head(l.repo_id, l.lane) h
       order by h.id
    loop
      begin
        update leasectl.job j
           set state = case when j.lane = 'stack' and j.not_before > now() then 'scheduled' else 'ready' end
         where j.id = head.id and j.state = 'waiting';
      exception when unique_violation then
        null; -- Somebody else filled this lane.
      end;
    end loop;
  end;

  -- By the index of holders, as in lanes_without_holder.sql.
  return query
    select distinct l.lane
      from unnest(repo_ids, lanes) as l(repo_id, lane)
     cross join lateral (
       select h.state from leasectl.job h
        where h.repo_id = l.repo_id and h.lane = l.lane
          and (h.state in ('ready', 'running') or (h.lane = 'stack' and h.state = 'scheduled'))
        limit 1) held
     where held.state = 'ready';
end
$$;
