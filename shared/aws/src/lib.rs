//! shared/aws
