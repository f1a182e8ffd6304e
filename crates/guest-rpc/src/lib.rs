//! The guest contract: generated code, conversions and the client.
