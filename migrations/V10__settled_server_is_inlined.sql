-- The same by the moment at which the transaction began, which is never later. It was called stable before and read
-- the running clock, so it could not be inlined: every look of the detector parsed and planned it anew.
create or replace function leasectl.server_is_settled() returns boolean
language sql stable parallel safe as $$
  select pg_postmaster_start_time() < now() - interval '15 seconds'
$$;
