//! What mrap-sentinel knows and decides, apart from everything it does.
//!
//! Nothing here performs I/O, reads a clock, draws a random number or looks at the
//! environment: `now`, observations and settings are arguments, decisions and documents are
//! return values. `sentinel-aws` fetches the former and carries out the latter.

pub mod evidence;
pub mod guard;
pub mod names;
pub mod routes;
