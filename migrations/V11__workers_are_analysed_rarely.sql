-- A beat leaves an old version of its worker's row in the same page, which the next beats clear away. A hundred workers
-- had the table vacuumed and analysed every minute all the same, and each time every session made its plans anew,
-- which was a tenth of what idle workers cost.
alter table leasectl.worker set (autovacuum_vacuum_threshold = 10000, autovacuum_analyze_threshold = 10000);
