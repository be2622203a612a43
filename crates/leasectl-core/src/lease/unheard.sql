-- Leases that an owner took after a certain token and never heard of: the answer to a claim was lost on
-- the way, after the claim had committed.
-- $1 owner, $2 the last token that it had heard of when it asked, $3 the tokens heard since, $4 lanes.
-- Locks: none; what comes back is released by settle.sql, under its token. Index: job_running.
-- Tokens are unique, so one names its lease. Zero rows: every claim that committed was heard.
select j.id, j.lease_token, j.repo_id, j.kind, j.lane, j.attempt, j.max_attempts
  from leasectl.job j
 where j.state = 'running' and j.lane = any ($4::text[]) and j.lease_token > $2
   and j.lease_owner = $1 and j.lease_token <> all ($3::bigint[])
 order by j.id
