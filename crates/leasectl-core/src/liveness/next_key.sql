-- Draws the key of a worker incarnation's liveness lock. Locks: none. One row always.
select nextval('leasectl.worker_liveness_key')::integer as key
