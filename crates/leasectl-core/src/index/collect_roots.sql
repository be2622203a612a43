-- Collects one batch of roots. $1 where the last one ended (null: from the start), $2 rows, $3 seconds of grace.
-- Locks: the rows that go, passing over those that somebody holds; an advisory lock, which is only tried for.
-- Index: the primary keys and those that say who names a row. One row always; a null next ends the step.
select c.next, c.seen, c.deleted
  from leasectl.index_collect_roots($1::bigint, $2::integer, $3::float8 * interval '1 second') c
