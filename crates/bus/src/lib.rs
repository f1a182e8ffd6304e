//! The engine's Bus on RabbitMQ.
