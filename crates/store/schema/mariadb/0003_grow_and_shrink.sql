-- Grow and shrink: what a task is about, whether it is allowed, and nodes that were removed from clusters.

-- params is JSON. verdict_by: until then somebody waits for the verdict.
ALTER TABLE tasks
    ADD COLUMN params TEXT NULL,
    ADD COLUMN verdict VARCHAR(32) NULL,
    ADD COLUMN verdict_by BIGINT NULL;

-- Nodes that somebody may remember. The row of its cluster is what serializes the writers of a node and its debts.
CREATE TABLE removed_nodes (
    node_id CHAR(40) NOT NULL PRIMARY KEY,
    cluster_id CHAR(36) NOT NULL,
    instance_id CHAR(36) NOT NULL,
    paid BIGINT NULL,
    CONSTRAINT removed_nodes_instance UNIQUE (instance_id),
    CONSTRAINT removed_nodes_of_instance FOREIGN KEY (instance_id) REFERENCES instances (id),
    CONSTRAINT removed_nodes_of_cluster FOREIGN KEY (cluster_id) REFERENCES clusters (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
CREATE INDEX removed_nodes_by_cluster ON removed_nodes (cluster_id, node_id);

-- Who has yet to forget a removed node. No foreign key to the instance: it would lock the rows of a cluster's other
-- instances, in another order than the monitor does.
CREATE TABLE forget_debts (
    node_id CHAR(40) NOT NULL,
    instance_id CHAR(36) NOT NULL,
    PRIMARY KEY (node_id, instance_id),
    CONSTRAINT forget_debts_node FOREIGN KEY (node_id) REFERENCES removed_nodes (node_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
CREATE INDEX forget_debts_of_instance ON forget_debts (instance_id, node_id);
