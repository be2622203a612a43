-- Lets the database itself write the history of a fault run: every change of a job's lease, every finished job,
-- everything that a fetch writes, every ref that an index publishes, and every step of a backfill with the snapshots
-- that it wrote, with the connection and the transaction that did it.
-- Rows of one job are numbered in the order of their commits, since each change holds the row's lock;
-- between rows the commit's own time decides (track_commit_timestamp).
create schema audit;

create function audit.us(t timestamptz) returns bigint language sql immutable as
$$ select (extract(epoch from t) * 1000000)::bigint $$;
create function audit.us(i interval) returns bigint language sql immutable as
$$ select (extract(epoch from i) * 1000000)::bigint $$;

create table audit.change (
  seq         bigserial primary key,
  at_us       bigint not null default audit.us(clock_timestamp()),
  begun_us    bigint not null default audit.us(now()),
  booted_us   bigint not null default audit.us(pg_postmaster_start_time()),
  port        integer default inet_client_port(),
  subject     text not null,
  id          text not null,
  repo        text not null,
  before      jsonb,
  after       jsonb
);

create function audit.lease(j leasectl.job) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'state', j.state, 'lane', j.lane, 'owner', j.lease_owner, 'token', j.lease_token,
    'heartbeat', audit.us(j.lease_heartbeat_at), 'expires', audit.us(j.lease_expires_at),
    'stale_after', audit.us(j.lease_stale_after), 'interval', audit.us(j.lease_heartbeat_interval),
    'attempt', j.attempt, 'max_attempts', j.max_attempts, 'crashes', j.crashes, 'durable', j.durable,
    'ended_token', j.attempts -> -1 -> 'token', 'ended_outcome', j.attempts -> -1 -> 'outcome',
    'is_whole', (j.state = 'running') = (j.lease_owner is not null)
                and (j.state = 'running') = (j.lease_token is not null))
$$;

create function audit.job() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, before, after)
  values ('job', coalesce(new.id, old.id), coalesce(new.repo_id, old.repo_id),
          case when tg_op <> 'INSERT' then audit.lease(old) end,
          case when tg_op <> 'DELETE' then audit.lease(new) end);
  return null;
end $$;
create trigger audit after insert or update or delete on leasectl.job
  for each row execute function audit.job();

create function audit.finished() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, after)
  values ('finished', new.id, new.repo_id, jsonb_build_object(
    'state', new.state, 'owner', new.owner, 'token', new.token, 'outcome', new.outcome,
    'attempt', new.attempt, 'max_attempts', new.max_attempts,
    'head', new.result ->> 'head', 'exhausted', new.result -> 'exhausted',
    'error', new.last_error ->> 'code'));
  return null;
end $$;
create trigger audit after insert on leasectl.job_history
  for each row execute function audit.finished();

create function audit.repository() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, after)
  values ('repository', new.id, new.id, jsonb_build_object('head', new.head));
  return null;
end $$;
create trigger audit after update on leasectl.repository
  for each row execute function audit.repository();

create function audit.branch() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, after)
  values ('branch', coalesce(new.name, old.name), coalesce(new.repo_id, old.repo_id),
          jsonb_build_object('head', new.head));
  return null;
end $$;
create trigger audit after insert or update or delete on leasectl.branch
  for each row execute function audit.branch();

create function audit.index_ref() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, after)
  values ('index_ref', coalesce(new.ref, old.ref), coalesce(new.repo_id, old.repo_id),
          jsonb_build_object('token', new.token));
  return null;
end $$;
create trigger audit after insert or update or delete on leasectl.index_ref
  for each row execute function audit.index_ref();

create function audit.backfill(b leasectl.backfill) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'mode', b.mode, 'generation', b.pass_generation, 'pass_mode', b.pass_mode, 'is_open', b.pass_is_open,
    'epoch', b.epoch, 'family', b.cursor_family, 'number', b.cursor_number, 'started', audit.us(b.started_at))
$$;

create function audit.pass() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, before, after)
  values ('pass', new.repo_id, new.repo_id, audit.backfill(old), audit.backfill(new));
  return null;
end $$;
-- Not its first row, which the first word makes, whoever says it.
create trigger audit after update on leasectl.backfill
  for each row execute function audit.pass();

create function audit.snapshot() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, after)
  select 'snapshot', c.id, c.repo_id, jsonb_build_object('head', encode(new.head, 'hex'))
    from leasectl.change c
   where c.id = new.change_id;
  return null;
end $$;
create trigger audit after insert or update on leasectl.change_snapshot
  for each row execute function audit.snapshot();

create function audit.inventory() returns trigger language plpgsql as $$
begin
  insert into audit.change (subject, id, repo, after)
  values ('inventory', new.repo_id, new.repo_id, jsonb_build_object('generation', new.generation));
  return null;
end $$;
create trigger audit after insert or update on leasectl.change_inventory
  for each row execute function audit.inventory();
