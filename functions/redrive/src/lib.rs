//! The `redrive` function: samples, releases, sweeps; jobs from their manifest to their proof.

mod deps;
pub mod work;

pub use deps::Deps;
