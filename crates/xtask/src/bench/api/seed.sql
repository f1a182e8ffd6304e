-- Clusters of three that are ready, as their creation would have left them, made in one go.
-- `wanted` (project_id, clusters) says whose and how many.

BEGIN IMMEDIATE;

CREATE TEMP TABLE parts AS
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers, wanted WHERE n < clusters),
        ids (part) AS (VALUES (0), (1), (2), (3), (4))
    SELECT n, part, lower(
            hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a'
            || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
        ) AS id
    FROM numbers, ids;
CREATE UNIQUE INDEX temp.parts_by_number ON parts (n, part);

-- Part 0 is the cluster, 1 to 3 are its members, 4 is the task that made it.
CREATE TEMP TABLE made AS
    SELECT cluster.n, cluster.id AS cluster_id, task.id AS task_id,
        CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS now
    FROM parts cluster JOIN parts task ON task.n = cluster.n AND task.part = 4
    WHERE cluster.part = 0;

INSERT INTO clusters (id, project_id, name, task, operation, version_id, lease_token, created, updated, deleted)
    SELECT cluster_id, project_id, printf('seeded-%d', n), 'NONE', NULL, version.id, 1, now, now, 0
    FROM made, wanted, (SELECT id FROM datastore_versions ORDER BY is_default DESC LIMIT 1) version;

INSERT INTO tasks (id, cluster_id, kind, state, attempt, not_before, deadline, lease_token, request_id, created,
        started, ended)
    SELECT task_id, cluster_id, 'create_cluster', 'succeeded', 1, now, now, 1, 'req-' || task_id, now, now, now
    FROM made;

INSERT INTO instances (id, cluster_id, name, number, flavor_id, ram_mb, volume_gb, lifecycle, ip, node_id, first_slot,
        last_slot, redis, held_failed, volume_used_mb, created, updated)
    SELECT member.id, cluster_id, printf('seeded-%d-member-%d', n, part), part, '1', 512, 1, 'complete',
        printf('10.%d.%d.%d', n / 16384, n / 64 % 256, n % 64 * 4 + part), lower(hex(randomblob(20))),
        -- 16384 slots over three: the first has one more.
        (part - 1) * 5461 + (part > 1), part * 5461, 'running', 0, 1, now, now
    FROM made JOIN parts member USING (n)
    WHERE part BETWEEN 1 AND 3
    ORDER BY n, part;

INSERT INTO quota_usages (project_id, resource, in_use)
    SELECT project_id, resource, 3 * clusters FROM wanted, (SELECT 'instances' AS resource UNION SELECT 'volumes')
    WHERE true
    ON CONFLICT (project_id, resource) DO UPDATE SET in_use = in_use + excluded.in_use;

COMMIT;
DROP TABLE temp.made;
DROP TABLE temp.parts;
DROP TABLE temp.wanted;
