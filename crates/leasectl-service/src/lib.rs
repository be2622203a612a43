//! What every leasectl program shares: settings, logging, metrics, and opening the database.
