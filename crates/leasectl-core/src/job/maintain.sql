-- One round of retention; see the function.
-- $1 seconds for which finished jobs are kept. Locks: the history while a partition comes or goes.
-- Always one row.
select created, dropped, deleted from leasectl.maintain_history($1::float8 * interval '1 second')
