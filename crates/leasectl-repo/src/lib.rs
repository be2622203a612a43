//! Clones as a rebuildable cache: everything that touches Git, and nothing that touches SQL.
