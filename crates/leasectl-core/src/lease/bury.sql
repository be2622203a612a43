-- Ends jobs whose lease is over and that may not run again: cancelled ones, those that lost their
-- worker three times in a row without durable progress, and those out of attempts.
-- $1 at most so many.
-- Locks: the rows FOR UPDATE in the order of their ids, skipping locked ones. Index: job_running, then
-- job_pkey alone (see claim.sql), joined: for an array, a plan made for an empty table is a scan. Ordered by
-- text, which sorts as the id does: for a limit that is a parameter the planner would rather walk all of
-- job_pkey than sort the few.
-- Zero rows: there is nothing to bury.
with dead as (
  select j.id
    from leasectl.job j
   where j.state = 'running'
     and (j.lease_expires_at <= now()
          or leasectl.stale_at(j.lease_heartbeat_at, j.lease_heartbeat_interval, j.lease_stale_after) <= now())
     and (j.cancel_requested or not (j.durable or (j.crashes < 2 and j.attempt < j.max_attempts)))
   order by j.id::text collate "C"
   limit $1
     for update skip locked
), gone as (
  delete from leasectl.job j using dead where j.id = dead.id
  returning j.*
)
insert into leasectl.job_history
      (id, seq, repo_id, kind, lane, args, priority, state, not_before, created_at, attempt, max_attempts,
       owner, token, started_at, finished_at, outcome, progress, message, last_error, attempts)
select id, seq, repo_id, kind, lane, args, priority,
       case when cancel_requested then 'cancelled' else 'error' end,
       not_before, created_at, attempt, max_attempts,
       lease_owner, lease_token, lease_acquired_at, now(), 'lost', progress, message,
       case when cancel_requested
            then '{"code": "cancelled", "message": "the job was cancelled; its worker was lost", "retryable": false}'::jsonb
            else jsonb_build_object(
                   'code', 'attempts_exhausted', 'retryable', false,
                   'message', format('the worker was lost %s times in a row without durable progress, in %s of %s attempts; the last time it %s',
                                     crashes + 1, attempt, max_attempts,
                                     case when dead_token = lease_token then 'died'
                                          when lease_expires_at <= now() then 'made no progress until the lease expired'
                                          else 'stopped sending heartbeats' end))
       end,
       attempts
  from gone
returning id, repo_id, kind, lane, state, owner, token
