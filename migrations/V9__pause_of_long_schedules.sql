-- A schedule of a day or more is never stretched, so nothing is multiplied: months times a million left the range of
-- intervals, and one such repository would have kept the schedules of all from being looked at.
create or replace function leasectl.fetch_pause(repo_id uuid, fetch_every interval, unchanged integer, failed integer)
returns interval language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp as $$
  select case when fetch_every >= interval '1 day' then fetch_every
              else greatest(fetch_every,
                            least(interval '1 day',
                                  fetch_every * case when failed > 0 then 2 ^ least(failed, 20)
                                                     else 2 ^ least(unchanged / 3, 3) end)) end
       * (1 - 0.1 * (hashtextextended(repo_id::text, 0) & 1023) / 1023.0)::float8
$$;
