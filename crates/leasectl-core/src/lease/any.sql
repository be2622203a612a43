-- Whether there is a job that has not ended. Locks: none. Index: job_pkey. One row always.
select exists (select from leasectl.job)
