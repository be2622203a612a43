-- Makes finished jobs of the last hour. $1 how many. Locks: the new rows.
insert into leasectl.job_history
      (id, seq, repo_id, kind, lane, args, priority, state, created_at, attempt, max_attempts,
       owner, token, started_at, finished_at, outcome, result, attempts)
select leasectl.uuid_v7(), n, leasectl.uuid_v7(), 'noop', 'fetch', '{}', 0, 'completed',
       now() - interval '1 hour', 1, 5, 'bench:1:1', n, now(), now(), 'completed', '{}', '[]'
  from generate_series(1, $1::bigint) n
