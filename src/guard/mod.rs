//! What we believe about each vehicle, and when that is worth an alert. Pure and deterministic.
