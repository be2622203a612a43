-- What the doctor asks the server about itself. Takes no lock, relies on no table, one row always.
select current_setting('server_version') as version,
       current_setting('server_version_num')::integer / 10000 as major,
       current_setting('synchronous_commit') as synchronous_commit,
       current_setting('fsync') as fsync,
       pg_is_in_recovery() as replica,
       clock_timestamp() as now
