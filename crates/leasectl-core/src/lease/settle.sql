-- Settles leases of one owner: finished jobs move to the history, the others go back to their lane.
-- $1 owner, $2 job ids, $3 tokens, $4 outcomes (completed, failed, cancelled, released),
-- $5 results, $6 errors, $7 seconds until the next attempt (null: there is none).
-- Locks: the rows FOR UPDATE in the order of their ids, so it waits for fences and never deadlocks
-- with another settlement. Index: job_pkey, once for each lease (see heartbeat.sql).
-- A row that does not come back was not ours to settle: settled before, or lost.
with input as (
  select * from unnest($2::uuid[], $3::bigint[], $4::text[], $5::jsonb[], $6::jsonb[], $7::float8[])
    as i (id, token, outcome, result, error, retry_in)
   order by i.id
), ours as materialized (
  select input.*,
         -- A job that was asked to stop ends here, whatever its handler says.
         input.outcome in ('completed', 'cancelled') or held.cancel_requested
           or (input.outcome = 'failed' and input.retry_in is null) as final
    from input
   cross join lateral (
     select j.state, j.cancel_requested
       from leasectl.job j
      where j.id = input.id and j.lease_owner = $1 and j.lease_token = input.token
      limit 1
        for update) held
   where held.state = 'running'
), gone as (
  delete from leasectl.job j
   using ours
   where ours.final and j.id = ours.id
  returning j.*, ours.outcome as ended, ours.result, ours.error
), finished as (
  insert into leasectl.job_history
        (id, seq, repo_id, kind, lane, args, priority, state, not_before, created_at, attempt, max_attempts,
         owner, token, started_at, finished_at, outcome, progress, message, result, last_error, attempts)
  select id, seq, repo_id, kind, lane, args, priority,
         case when ended = 'completed' then 'completed'
              when ended = 'cancelled' or cancel_requested then 'cancelled'
              else 'error' end,
         not_before, created_at, attempt, max_attempts,
         lease_owner, lease_token, lease_acquired_at, now(),
         case when ended = 'released' then 'cancelled' else ended end,
         progress, message, result,
         coalesce(error,
                  case when ended = 'released'
                       then '{"code": "cancelled", "message": "the job was cancelled", "retryable": false}'::jsonb end),
         attempts
    from gone
  returning id, token, state, repo_id, lane
), continued as (
  update leasectl.job j
     set attempts = leasectl.with_attempt(j.attempts, j.attempt, j.lease_owner, j.lease_token,
                                          j.lease_acquired_at, now(), ours.outcome, ours.error),
         state = case ours.outcome when 'failed' then 'scheduled' else 'ready' end,
         not_before = case ours.outcome when 'failed' then now() + ours.retry_in * interval '1 second'
                                        else j.not_before end,
         -- A release spends no attempt.
         attempt = case ours.outcome when 'failed' then j.attempt else j.attempt - 1 end,
         crashes = case ours.outcome when 'failed' then 0 else j.crashes end,
         last_error = coalesce(ours.error, j.last_error),
         progress = null, message = null, durable = false,
         lease_owner = null, lease_token = null, lease_acquired_at = null, lease_heartbeat_at = null,
         lease_expires_at = null, lease_stale_after = null, lease_heartbeat_interval = null
    from ours
   where not ours.final and j.id = ours.id
  returning j.id, ours.token, 'queued' as state, j.repo_id, j.lane
), settled as (
  select * from finished union all select * from continued
)
select settled.id, settled.token, settled.state,
       settled.repo_id, settled.lane,
       exists (select from leasectl.job w
                where w.state = 'waiting' and w.repo_id = settled.repo_id and w.lane = settled.lane) as lane_waits
  from settled
