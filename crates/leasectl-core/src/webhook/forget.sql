-- Forgets old deliveries. $1 seconds for which they are kept, $2 at most so many.
-- Locks: the rows that go, skipping those that another worker forgets. Index: webhook_delivery_received_at.
-- Zero rows: none is that old.
with old as (
  select d.forge, d.delivery_id
    from leasectl.webhook_delivery d
   where d.received_at < now() - $1::float8 * interval '1 second'
   order by d.received_at
   limit $2
     for update skip locked
)
delete from leasectl.webhook_delivery d using old
 where d.forge = old.forge and d.delivery_id = old.delivery_id
