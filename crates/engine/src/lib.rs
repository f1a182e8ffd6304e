//! Durable tasks: ports, submit, runner, sweeper, monitor and the simulated world.
