//! Starts the real programs, a real PostgreSQL and real Git remotes for the behaviour tests.
