-- The clusters that are not deleted, which upkeep lists all the time, among ever more that are. (An index of tasks by age
-- would not do: with many tasks open, MariaDB looks for those that may be claimed in it, past all that have ended.)
CREATE INDEX clusters_by_deleted ON clusters (deleted, id);
