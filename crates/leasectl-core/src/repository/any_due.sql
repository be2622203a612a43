-- Whether a repository is due to be fetched unasked: one short statement while there is none. It decides nothing.
-- No parameters. Locks: none. Index: repository_fetch_due. There is always one row.
select exists (select from leasectl.repository r
                where r.fetch_every is not null and r.fetch_due_at <= now()) as due
