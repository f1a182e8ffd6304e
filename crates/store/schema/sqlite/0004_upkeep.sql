-- Upkeep: when members were last looked at, what clusters serve, and what the provider holds that no row wants.

-- When the right was last taken or renewed.
ALTER TABLE leases ADD COLUMN taken_at BIGINT NULL;

-- How many of the 16384 slots are served, as far as the monitor knows.
ALTER TABLE clusters ADD COLUMN slots_served BIGINT NULL;

-- The instance may have a row or none, so there is no foreign key.
CREATE TABLE orphans (
    instance_id CHAR(36) NOT NULL PRIMARY KEY,
    first_seen BIGINT NOT NULL
);
