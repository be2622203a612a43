-- Live workers that are judged by their heartbeats alone, and why. Locks: none.
-- A worker whose row is older than the server's start writes it anew at its next heartbeat.
-- Zero rows: the liveness session of every live worker is watched.
select s.owner,
       coalesce(w.liveness_reason,
                case when w.liveness_key is null then 'its release has no death signal'
                     else 'it has not written its row since the server started' end) as reason
  from leasectl.worker_status s join leasectl.worker w using (owner)
 where s.state in ('live', 'draining') and s.liveness = 'heartbeat'
 order by s.started_at, s.owner
