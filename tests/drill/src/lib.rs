//! tests/drill
