-- Whether the server runs long enough for an absent liveness lock to mean anything.
-- No parameters. Locks: none. There is always one row.
select leasectl.server_is_settled()
