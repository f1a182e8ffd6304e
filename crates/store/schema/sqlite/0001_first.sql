-- The first schema: what can be chosen, clusters with their instances, tasks with their step logs, quota, leases.
-- Times are milliseconds since 1970 UTC; enums hold the names of the core types; JSON is text; booleans are 0 and 1.

CREATE TABLE datastores (
    id CHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    CONSTRAINT datastores_name UNIQUE (name)
);

CREATE TABLE datastore_versions (
    id CHAR(36) NOT NULL PRIMARY KEY,
    datastore_id CHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    engine VARCHAR(32) NOT NULL,
    active SMALLINT NOT NULL,
    is_default SMALLINT NOT NULL,
    settings TEXT NOT NULL,
    CONSTRAINT datastore_versions_name UNIQUE (datastore_id, name),
    CONSTRAINT datastore_versions_datastore FOREIGN KEY (datastore_id) REFERENCES datastores (id)
);

CREATE TABLE flavors (
    id VARCHAR(255) NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    ram BIGINT NOT NULL,
    vcpus BIGINT NOT NULL,
    disk BIGINT NOT NULL,
    ephemeral BIGINT NOT NULL
);

-- lease_token is the highest token that any task of the cluster ever had. operation is the task that works on the
-- cluster now; no foreign key, as each of the two rows names the other.
CREATE TABLE clusters (
    id CHAR(36) NOT NULL PRIMARY KEY,
    project_id VARCHAR(64) NOT NULL,
    name VARCHAR(255) NOT NULL,
    task VARCHAR(32) NOT NULL,
    operation CHAR(36) NULL,
    version_id CHAR(36) NOT NULL,
    fault TEXT NULL,
    lease_token BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    deleted SMALLINT NOT NULL,
    deleted_at BIGINT NULL,
    CONSTRAINT clusters_version FOREIGN KEY (version_id) REFERENCES datastore_versions (id)
);
CREATE INDEX clusters_of_project ON clusters (project_id, deleted, id);

CREATE TABLE instances (
    id CHAR(36) NOT NULL PRIMARY KEY,
    cluster_id CHAR(36) NOT NULL,
    name VARCHAR(280) NOT NULL,
    number BIGINT NOT NULL,
    flavor_id VARCHAR(255) NOT NULL,
    ram_mb BIGINT NOT NULL,
    volume_gb BIGINT NOT NULL,
    lifecycle VARCHAR(32) NOT NULL,
    ip VARCHAR(64) NULL,
    node_id CHAR(40) NULL,
    first_slot BIGINT NULL,
    last_slot BIGINT NULL,
    fault TEXT NULL,
    redis VARCHAR(32) NOT NULL,
    silent_since BIGINT NULL,
    held_failed SMALLINT NOT NULL,
    volume_used_mb BIGINT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    deleted_at BIGINT NULL,
    CONSTRAINT instances_number UNIQUE (cluster_id, number),
    CONSTRAINT instances_cluster FOREIGN KEY (cluster_id) REFERENCES clusters (id)
);
CREATE INDEX instances_lifecycle ON instances (lifecycle);

CREATE TABLE tasks (
    id CHAR(36) NOT NULL PRIMARY KEY,
    cluster_id CHAR(36) NOT NULL,
    kind VARCHAR(32) NOT NULL,
    state VARCHAR(32) NOT NULL,
    step VARCHAR(64) NULL,
    progress TEXT NULL,
    attempt BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    deadline BIGINT NOT NULL,
    lease_owner VARCHAR(255) NULL,
    lease_token BIGINT NOT NULL,
    lease_expires_at BIGINT NULL,
    fault TEXT NULL,
    request_id CHAR(40) NOT NULL,
    traceparent VARCHAR(255) NULL,
    created BIGINT NOT NULL,
    started BIGINT NULL,
    ended BIGINT NULL,
    CONSTRAINT tasks_cluster FOREIGN KEY (cluster_id) REFERENCES clusters (id)
);
CREATE INDEX tasks_of_state ON tasks (state, created, id);
CREATE INDEX tasks_of_cluster ON tasks (cluster_id, id);

CREATE TABLE task_steps (
    task_id CHAR(36) NOT NULL,
    seq BIGINT NOT NULL,
    name VARCHAR(64) NOT NULL,
    subject CHAR(36) NULL,
    outcome VARCHAR(32) NULL,
    error TEXT NULL,
    started BIGINT NOT NULL,
    ended BIGINT NULL,
    PRIMARY KEY (task_id, seq),
    CONSTRAINT task_steps_task FOREIGN KEY (task_id) REFERENCES tasks (id)
);

CREATE TABLE quota_usages (
    project_id VARCHAR(64) NOT NULL,
    resource VARCHAR(32) NOT NULL,
    in_use BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
);

-- Rights that one process at a time has; the row of a name is also what serializes its writers.
CREATE TABLE leases (
    name VARCHAR(32) NOT NULL PRIMARY KEY,
    owner VARCHAR(255) NOT NULL,
    expires_at BIGINT NOT NULL
);
