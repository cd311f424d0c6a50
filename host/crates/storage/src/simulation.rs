//! The simulation.
pub(crate) mod random;
