//! Measures leasectl against floors and peers in one run.
