-- Draws the token of a run that has no lease. No parameters.
-- Locks: none; a sequence, so tokens are never given back. Index: none. One row always.
select nextval('leasectl.lease_token') as token
