-- Draws a key for a worker's liveness lock. Locks: none. One row always.
select nextval('leasectl.worker_liveness_key')::integer as key
