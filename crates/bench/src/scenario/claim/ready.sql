-- Makes ready jobs, each in a lane of its own. $1 how many. Locks: the new rows.
insert into leasectl.job (id, repo_id, kind, lane, args, dedup_key, state)
select leasectl.uuid_v7(), leasectl.uuid_v7(), 'noop', 'fetch', '{}', leasectl.dedup_key('{}'), 'ready'
  from generate_series(1, $1::bigint)
