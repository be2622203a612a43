//! Jobs and owner-scoped leases with heartbeat, expiry and fencing token, in PostgreSQL.
