-- What there is to do: one look of each poll, so that an idle worker sends this and nothing else.
-- $1 owner, $2 all lanes. One row: the lanes with ready jobs, the lanes with leases that are over, whether
-- a sweep may find something, and which running jobs of the owner were asked to stop.
-- It decides nothing: every statement that acts on it looks for itself.
-- Locks: none. Index: job_ready, job_running, job_due, job_staged, job_parked, job_cancel.
select array(
         select asked.lane from unnest($2::text[]) as asked (lane)
          where exists (select from leasectl.job r where r.state = 'ready' and r.lane = asked.lane)) as ready,
       array(
         select distinct o.lane from leasectl.job o
          where o.state = 'running'
            and (o.lease_expires_at <= now()
                 or leasectl.stale_at(o.lease_heartbeat_at, o.lease_heartbeat_interval, o.lease_stale_after) <= now())
       ) as over,
       exists (select from leasectl.job d where d.state = 'scheduled' and d.not_before <= now())
         or exists (select from leasectl.job s where s.staged)
         or exists (select from leasectl.job w where w.state = 'waiting') as to_sweep,
       array(
         select c.id from leasectl.job c
          where c.cancel_requested and c.lease_owner = $1 and c.state = 'running') as cancelled
