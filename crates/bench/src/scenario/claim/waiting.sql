-- Makes one lane that runs, with waiting jobs behind it. $1 how many. Locks: the new rows.
with lane as (
  select leasectl.uuid_v7() as repo_id
), running as (
  insert into leasectl.job (id, repo_id, kind, lane, args, state, attempt, lease_owner, lease_token,
                            lease_acquired_at, lease_heartbeat_at, lease_expires_at,
                            lease_stale_after, lease_heartbeat_interval)
  select leasectl.uuid_v7(), repo_id, 'noop', 'fetch', '{}', 'running', 1, 'bench:1:1',
         nextval('leasectl.lease_token'), now(), now(), now() + interval '1 day',
         interval '1 day', interval '1 hour'
    from lane
)
insert into leasectl.job (id, repo_id, kind, lane, args, dedup_key, state)
select leasectl.uuid_v7(), repo_id, 'noop', 'fetch', jsonb_build_object('n', n),
       leasectl.dedup_key(jsonb_build_object('n', n)), 'waiting'
  from lane, generate_series(1, $1::bigint) n
