//! Tests of the create plan.
