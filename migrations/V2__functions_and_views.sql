-- Functions that need more than one statement, and the public views.

-- When an owner that last beat at heartbeat_at counts as gone. An outage of the server must not
-- make every live worker look dead, so silence counts from its start at the earliest.
create function leasectl.stale_at(heartbeat_at timestamptz, heartbeat_interval interval, stale_after interval)
returns timestamptz language sql stable parallel safe as $$
  select greatest(heartbeat_at, pg_postmaster_start_time() + heartbeat_interval) + stale_after
$$;

create function leasectl.dedup_key(args jsonb) returns bytea
language sql immutable parallel safe as $$
  select sha256(convert_to(args::text, 'UTF8'))
$$;

-- One ended attempt as it is kept. At most 50 are kept for a job, the newest.
create function leasectl.with_attempt(
  attempts jsonb, attempt smallint, owner text, token bigint,
  started_at timestamptz, finished_at timestamptz, outcome text, error jsonb)
returns jsonb language sql stable parallel safe as $$
  select case when jsonb_array_length(attempts) >= 50 then attempts - 0 else attempts end
      || jsonb_build_object(
           'attempt', attempt, 'owner', owner, 'token', token,
           'started_at', started_at, 'finished_at', finished_at, 'outcome', outcome, 'error', error)
$$;

-- Brings lanes into order: a ready job that a waiting one outranks steps back, and the first
-- waiting job of a lane that nobody holds becomes ready. Returns the lanes that got a ready job.
--
-- Two callers, or a caller and an enqueuer, may pick the same lane; the unique index lets one win.
-- The loser's whole set is undone and tried lane by lane, so a collision never aborts the caller.
--
-- A session keeps the plans of its first calls, often made while the table was empty, when scanning
-- all of it looks cheap. So only nested loops over indexes are allowed here, whatever the planner
-- believes about the size of the table.
create function leasectl.promote(repo_ids uuid[], lanes text[])
returns setof text language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  head record;
  promoted text[];
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
    ), moved as (
      update leasectl.job j set state = h.state
        from (select id, case when lane = 'stack' and not_before > now() then 'scheduled' else 'ready' end as state
                from leasectl.job where id = any (array(select id from heads))
               -- As enqueue.sql fills them, so that the two never wait for each other in a circle.
               order by repo_id, lane for no key update skip locked) h
       where j.id = h.id and j.state = 'waiting'
      returning j.lane, j.state
    )
    select array_agg(distinct moved.lane) into promoted from moved where moved.state = 'ready';
    return query select unnest(promoted);
    return;
  exception when unique_violation then
    promoted := '{}';
  end;

  for head in
    select h.id
      from (select distinct * from unnest(repo_ids, lanes) as l(repo_id, lane)) l
     cross join lateral leasectl.lane_head(l.repo_id, l.lane) h
     order by h.id
  loop
    begin
      return query
        update leasectl.job j
           set state = case when j.lane = 'stack' and j.not_before > now() then 'scheduled' else 'ready' end
         where j.id = head.id and j.state = 'waiting'
        returning j.lane;
    exception when unique_violation then
      null; -- Somebody else filled this lane.
    end;
  end loop;
end
$$;

-- The first waiting job of a lane that nobody holds; no row when the lane is held or empty.
create function leasectl.lane_head(repo_id uuid, lane text)
returns table (id uuid) language sql stable as $$
  select w.id
    from leasectl.job w
   where w.state = 'waiting' and w.repo_id = lane_head.repo_id and w.lane = lane_head.lane
     and not w.staged
     and not exists (select from leasectl.job held
                      where held.repo_id = lane_head.repo_id and held.lane = lane_head.lane
                        and (held.state in ('ready', 'running')
                             or (held.lane = 'stack' and held.state = 'scheduled')))
   order by w.rank, w.seq
   limit 1
$$;

-- Activates one staged job, or merges it into an equal job that was never claimed. The caller
-- holds the row's lock.
create function leasectl.activate_staged(job_id uuid)
returns void language plpgsql volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off
set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  equal_id uuid;
begin
  -- An equal job may be claimed or settled between the look and the merge; then try again.
  for tries in 1..10 loop
    begin
      update leasectl.job j
         set staged = false,
             dedup_key = leasectl.dedup_key(j.args),
             state = case when j.lane <> 'stack' and j.not_before > now() then 'scheduled' else 'waiting' end
       where j.id = job_id and j.staged;
      return;
    exception when unique_violation then
      null;
    end;
    update leasectl.job e
       set priority = greatest(e.priority, s.priority),
           not_before = case when e.not_before is null or s.not_before is null then null
                             else least(e.not_before, s.not_before) end,
           state = case when e.state = 'scheduled' and e.lane <> 'stack'
                         and (s.not_before is null or s.not_before <= now()) then 'waiting'
                        when e.state = 'scheduled'
                         and (s.not_before is null or s.not_before <= now()) then 'ready'
                        else e.state end
      from leasectl.job s
     where s.id = job_id
       and e.repo_id = s.repo_id and e.kind = s.kind and e.dedup_key = leasectl.dedup_key(s.args)
    returning e.id into equal_id;
    if found then
      with gone as (delete from leasectl.job j where j.id = job_id returning *)
      insert into leasectl.job_history
            (id, seq, repo_id, kind, lane, args, priority, state, not_before, created_at, attempt,
             max_attempts, finished_at, message, last_error, attempts)
      select id, seq, repo_id, kind, lane, args, priority, 'cancelled', not_before, created_at, attempt,
             max_attempts, now(), 'merged into job ' || equal_id,
             jsonb_build_object('code', 'cancelled', 'retryable', false,
                                'message', 'an equal job was queued already: ' || equal_id),
             attempts
        from gone;
      return;
    end if;
  end loop;
end
$$;

-- Raises unless the arguments fit the kind's specification; returns the kind's lane.
create function leasectl.check_args(kind_name text, args jsonb)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  spec leasectl.kind;
  arg record;
begin
  select * into spec from leasectl.kind k where k.name = kind_name;
  if not found then
    raise exception 'there is no kind "%"', left(kind_name, 64) using errcode = 'invalid_parameter_value';
  end if;
  if args is null or jsonb_typeof(args) <> 'object' then
    raise exception 'args must be a JSON object' using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(args::text) > 65536 then
    raise exception 'args are larger than 65536 bytes' using errcode = 'invalid_parameter_value';
  end if;
  for arg in
    select coalesce(given.key, known.key) as name, given.value as given, known.value as known
      from jsonb_each(args) given full join jsonb_each(spec.args) known on known.key = given.key
  loop
    if arg.known is null then
      raise exception '% takes no argument "%"', kind_name, left(arg.name, 64)
        using errcode = 'invalid_parameter_value';
    elsif arg.given is null then
      if (arg.known -> 'required')::boolean then
        raise exception '% needs the argument "%"', kind_name, arg.name
          using errcode = 'invalid_parameter_value';
      end if;
    elsif not coalesce(case arg.known ->> 'type'
        when 'boolean' then jsonb_typeof(arg.given) = 'boolean'
        when 'integer' then jsonb_typeof(arg.given) = 'number'
          and arg.given::numeric % 1 = 0
          and arg.given::numeric between (arg.known ->> 'min')::numeric and (arg.known ->> 'max')::numeric
        when 'text' then jsonb_typeof(arg.given) = 'string' and arg.given #>> '{}' <> ''
          and (not arg.known ? 'words' or arg.known -> 'words' ? (arg.given #>> '{}'))
        when 'text_list' then jsonb_typeof(arg.given) = 'array'
          and jsonb_array_length(arg.given) > 0
          and not exists (select from jsonb_array_elements(arg.given) e where jsonb_typeof(e) <> 'string')
      end, false) then
      raise exception '%: the argument "%" has the wrong type', kind_name, arg.name
        using errcode = 'invalid_parameter_value';
    end if;
  end loop;
  return spec.lane;
end
$$;

-- Enqueues a job inside the caller's own transaction, of whatever length: it touches neither the
-- lane index nor the deduplication index, so it blocks nobody. A worker's sweep activates the job,
-- or merges it with an equal one, after the commit. repo is an id, a name or a registered URL.
create function leasectl.enqueue(
  repo text, kind text, args jsonb default '{}', priority integer default 0,
  not_before timestamptz default null)
returns uuid language plpgsql volatile
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  target uuid;
  target_lane text := leasectl.check_args(enqueue.kind, enqueue.args);
  job_id uuid := leasectl.uuid_v7();
begin
  if enqueue.priority not between -100 and 100 then
    raise exception 'priority % is out of range; it is a whole number from -100 to 100', enqueue.priority
      using errcode = 'invalid_parameter_value';
  end if;
  -- The same bounds as in the programs: times beyond them, infinity too, are more than readers can hold.
  if enqueue.not_before < '1970-01-01 00:00Z' or enqueue.not_before >= '2200-01-01 00:00Z' then
    raise exception 'the time to start is too far away; it lies between 1970 and 2200'
      using errcode = 'invalid_parameter_value';
  end if;
  -- Three looks into an index: a comparison of the id's text would read every repository.
  select r.id into target
    from leasectl.repository r
   where r.id = case when enqueue.repo ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then enqueue.repo::uuid end
      or r.name = enqueue.repo or r.git_url = enqueue.repo;
  if not found then
    raise exception 'there is no repository "%"', left(enqueue.repo, 256)
      using errcode = 'no_data_found';
  end if;
  insert into leasectl.job (id, repo_id, kind, lane, args, staged, priority, state, not_before)
  values (job_id, target, enqueue.kind, target_lane, enqueue.args, true, enqueue.priority, 'waiting',
          enqueue.not_before);
  return job_id;
end
$$;

-- ── Public views ──────────────────────────────────────────────────────────────────────────────

create view leasectl.job_status as
select j.id, j.repo_id, r.name as repo, j.kind, j.lane, j.args, j.priority,
       case j.state when 'running' then 'running' when 'waiting' then 'waiting' else 'queued' end as state,
       j.attempt, j.max_attempts, j.not_before, j.created_at,
       j.lease_acquired_at as started_at, null::timestamptz as finished_at,
       j.message, j.progress, null::jsonb as result, j.last_error,
       j.lease_owner, j.lease_token, j.lease_acquired_at, j.lease_heartbeat_at, j.lease_expires_at,
       case when j.state = 'running'
            then leasectl.with_attempt(j.attempts, j.attempt, j.lease_owner, j.lease_token,
                                       j.lease_acquired_at, null, null, null)
            else j.attempts end as attempts
  from leasectl.job j left join leasectl.repository r on r.id = j.repo_id
union all
select h.id, h.repo_id, r.name, h.kind, h.lane, h.args, h.priority, h.state,
       h.attempt, h.max_attempts, h.not_before, h.created_at,
       h.started_at, h.finished_at,
       h.message, h.progress, h.result, h.last_error,
       null, null, null, null, null,
       case when h.owner is null then h.attempts
            else leasectl.with_attempt(h.attempts, h.attempt, h.owner, h.token, h.started_at, h.finished_at,
                                       h.outcome, h.last_error) end
  from leasectl.job_history h left join leasectl.repository r on r.id = h.repo_id;

create view leasectl.lease_status as
select j.id as job_id, j.repo_id, r.name as repo, j.kind, j.lane,
       j.lease_owner as owner, j.lease_token as token, j.attempt,
       j.lease_acquired_at as acquired_at, j.lease_heartbeat_at as heartbeat_at,
       j.lease_expires_at as expires_at,
       case when j.lease_expires_at <= now() then 'expired'
            when leasectl.stale_at(j.lease_heartbeat_at, j.lease_heartbeat_interval, j.lease_stale_after) <= now()
            then 'stale' else 'live' end as state,
       j.message, j.progress
  from leasectl.job j left join leasectl.repository r on r.id = j.repo_id
 where j.state = 'running';

create view leasectl.worker_status as
select w.owner, w.hostname, w.pid, w.version,
       case when leasectl.stale_at(w.heartbeat_at, w.heartbeat_interval, w.stale_after) > now()
            then case when w.draining then 'draining' else 'live' end
            -- Silent, and nothing of it is left to take over.
            when held.leases = 0 then 'dead' else 'stale' end as state,
       w.started_at, w.heartbeat_at, w.kinds, held.leases, w.liveness
  from leasectl.worker w
 cross join lateral (select count(*)::integer as leases from leasectl.job j
                      where j.state = 'running' and j.lease_owner = w.owner) held;

create view leasectl.branch_projection as
select b.repo_id, b.name, b.head, b.parent, b.registered, b.state, b.seen_at, b.ahead, b.behind, b.needs_restack
  from leasectl.branch b;

-- ── Retention ─────────────────────────────────────────────────────────────────────────────────

-- Makes a partition for today and each of the next seven days, and drops those in which every job
-- finished longer ago than keep. One round at a time; others return at once.
--
-- Settling waits behind a partition that waits to come or go, so it gives up at once when somebody
-- reads the history for long, such as a backup; the next round tries again.
create function leasectl.maintain_history(keep interval, out created integer, out dropped integer, out deleted bigint)
language plpgsql volatile
set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $$
declare
  day date;
  today date := (now() at time zone 'utc')::date;
  partition record;
  name text;
  lower_bound uuid;
  upper_bound uuid;
  recent boolean;
begin
  created := 0;
  dropped := 0;
  deleted := 0;
  if not pg_try_advisory_xact_lock(hashtextextended('leasectl.maintain_history', 0)) then
    return;
  end if;

  for day in select today + n from generate_series(0, 7) n loop
    name := 'job_history_' || to_char(day, 'YYYYMMDD');
    if to_regclass('leasectl.' || name) is null then
      lower_bound := leasectl.uuid_v7_floor(day::timestamp at time zone 'utc');
      upper_bound := leasectl.uuid_v7_floor((day + 1)::timestamp at time zone 'utc');
      -- Made apart and then attached, so that the history is locked for a moment only.
      execute format('create table leasectl.%I (like leasectl.job_history including defaults including constraints)', name);
      -- What the day's jobs left in the partition for stragglers moves over.
      execute format('with moved as (delete from leasectl.job_history_default where id >= %L and id < %L returning *)
                      insert into leasectl.%I select * from moved', lower_bound, upper_bound, name);
      execute format('alter table leasectl.job_history attach partition leasectl.%I for values from (%L) to (%L)',
                     name, lower_bound, upper_bound);
      created := created + 1;
    end if;
  end loop;

  for partition in
    select c.relname as name
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'leasectl.job_history'::regclass
       and c.relname ~ '^job_history_\d{8}$'
       and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 < (now() - keep) at time zone 'utc'
  loop
    -- A job that was accepted long ago may have finished a moment ago.
    execute format('select exists (select from leasectl.%I where finished_at >= $1)', partition.name)
      into recent using now() - keep;
    if not recent then
      execute format('drop table leasectl.%I', partition.name);
      dropped := dropped + 1;
    end if;
  end loop;

  delete from leasectl.job_history_default where finished_at < now() - keep;
  get diagnostics deleted = row_count;
  delete from leasectl.worker w
   where w.heartbeat_at < now() - interval '1 day'
     and not exists (select from leasectl.job j where j.state = 'running' and j.lease_owner = w.owner);
end
$$;

select leasectl.maintain_history(interval '30 days');
