-- Notes a delivery. $1 forge, $2 delivery id, $3 a repository that it is for.
-- Locks: the new row; waits for another transaction that notes the same one. Index: webhook_delivery_pkey.
-- Zero rows: it was noted before.
insert into leasectl.webhook_delivery (forge, delivery_id, repo_id) values ($1, $2, $3)
on conflict do nothing
returning received_at
