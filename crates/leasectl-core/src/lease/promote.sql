-- Brings lanes into order; see the function.
-- $1 repositories, $2 the lane of each. Locks: the moved rows. Index: job_one_per_lane, job_parked.
-- Zero rows: no job became ready.
select distinct lane from leasectl.promote($1::uuid[], $2::text[]) as lane
