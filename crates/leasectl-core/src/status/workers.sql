-- Workers, oldest first. Locks: none. Zero rows: none ever started here.
select owner, hostname, pid, version, state, started_at, heartbeat_at, kinds, leases, liveness
  from leasectl.worker_status
 order by started_at, owner
