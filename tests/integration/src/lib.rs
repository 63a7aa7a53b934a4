//! tests/integration
