//! functions/failover
