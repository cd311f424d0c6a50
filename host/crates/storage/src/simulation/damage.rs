//! Flipped bits.
