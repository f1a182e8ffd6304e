-- What projects are allowed and were answered, and where members are asked to be.

-- Limits of a project's own; without a row the installation's limit counts. A negative number is no limit.
CREATE TABLE quotas (
    project_id VARCHAR(64) NOT NULL,
    resource VARCHAR(32) NOT NULL,
    hard_limit BIGINT NOT NULL,
    PRIMARY KEY (project_id, resource)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Answers to requests with a key. The id is a hash of whose request it is and of its key; body_hash is that of what it
-- said, empty while the transaction that keeps it is under way.
CREATE TABLE answers (
    id CHAR(64) NOT NULL PRIMARY KEY,
    body_hash VARCHAR(64) NOT NULL,
    status BIGINT NOT NULL,
    body MEDIUMTEXT NOT NULL,
    task_id CHAR(36) NULL,
    created BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
CREATE INDEX answers_created ON answers (created);

ALTER TABLE clusters ADD COLUMN locality VARCHAR(32) NULL;

-- JSON, absent where nothing was asked for.
ALTER TABLE instances ADD COLUMN placement TEXT NULL;
