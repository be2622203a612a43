//! A private PostgreSQL server in a data directory: found, started, shared by several processes, stopped.
