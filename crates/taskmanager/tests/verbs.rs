//! The operator's verbs, as a person types them: the binary, on a database of its own.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use sqlx::Connection;

    struct Desk {
        dir: tempfile::TempDir,
        config: PathBuf,
    }

    impl Desk {
        /// A configuration on an empty directory; nothing in it exists yet.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name).display().to_string();
            let text = format!(
                "[database]\nconnection = \"sqlite://{}\"\n[guests]\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\n\
                 [pki]\ndirectory = \"{}\"\n[compute]\nprovider = \"local\"\n[compute.local]\ndirectory = \"{}\"\n\
                 address_block = \"127.20.0.0/16\"\nguestagent = \"/bin/true\"\n\
                 engines = {{ redis = \"/usr/bin/redis-server\" }}\n\
                 flavors = [{{ id = \"1\", name = \"tiny\", ram = 512, vcpus = 1 }}]\n",
                at("redtrove.db"),
                at("ca.pem"),
                at("control.pem"),
                at("control.key"),
                at("pki"),
                at("instances"),
            );
            let config = dir.path().join("taskmanager.toml");
            std::fs::write(&config, text).unwrap();
            Self { dir, config }
        }

        fn migrated() -> Self {
            let desk = Self::new();
            assert_eq!(desk.run(&["db", "migrate"]).status.code(), Some(0));
            desk
        }

        fn run(&self, verb: &[&str]) -> Output {
            let binary = env!("CARGO_BIN_EXE_redtrove-taskmanager");
            Command::new(binary).arg("--config").arg(&self.config).args(verb).output().unwrap()
        }

        fn path(&self) -> &Path {
            self.dir.path()
        }
    }

    fn out(output: &Output) -> String {
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The one sentence of a refusal.
    fn refusal(output: &Output) -> String {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    }

    #[test]
    fn without_a_schema_every_verb_names_the_command_that_makes_it() {
        let desk = Desk::new();
        for verb in [["datastore", "list"], ["task", "list"]] {
            assert!(refusal(&desk.run(&verb)).contains("redtrove-taskmanager db migrate"));
        }
        assert!(!desk.path().join("redtrove.db").exists());
        assert_eq!(desk.run(&["db", "migrate"]).status.code(), Some(0));
        assert_eq!(desk.run(&["db", "migrate"]).status.code(), Some(0), "twice is fine");
    }

    #[test]
    fn a_version_is_added_once_and_listed() {
        let desk = Desk::migrated();
        let add = ["datastore", "add", "redis", "7.0", "--engine", "redis", "--default", "--set", "appendfsync=always"];
        assert_eq!(desk.run(&add).status.code(), Some(0));
        assert!(refusal(&desk.run(&add)).contains("has a version 7.0 already"));
        let listed: serde_json::Value =
            serde_json::from_str(&out(&desk.run(&["datastore", "list", "--json"]))).unwrap();
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
        assert_eq!((&listed[0]["version"], &listed[0]["default"]), (&"7.0".into(), &true.into()));
        assert_eq!(listed[0]["settings"]["appendfsync"], "always");
        assert!(out(&desk.run(&["datastore", "list"])).contains("redis"));
    }

    #[test]
    fn what_a_guest_would_refuse_is_not_taken_as_a_setting() {
        let desk = Desk::migrated();
        for setting in ["bind=0.0.0.0", "requirepass=x", "Appendonly=yes", "appendonly=\"yes", "cluster-node-timeout=1"]
        {
            let refused = desk.run(&["datastore", "add", "redis", "7.0", "--engine", "redis", "--set", setting]);
            let name = setting.split('=').next().unwrap();
            assert!(refusal(&refused).contains(name), "{setting}");
        }
        let listed = out(&desk.run(&["datastore", "list", "--json"]));
        assert_eq!(listed.trim(), "[]", "nothing was added");
    }

    #[test]
    fn wrong_words_are_explained_before_the_database_is_asked() {
        let desk = Desk::new();
        for verb in [
            vec!["datastore", "add", "redis", "7.0", "--engine", "mongo"],
            vec!["datastore", "add", " ", "7.0", "--engine", "redis"],
            vec!["datastore", "add", "redis", "7.0", "--engine", "redis", "--set", "x"],
            vec!["task", "show", "not-an-id"],
            vec!["task", "list", "--limit", "0"],
            vec!["pki", "issue", "--role", "king", "--directory", "/x", "--out-dir", "/x"],
            vec!["nothing"],
        ] {
            let output = desk.run(&verb);
            assert_eq!(output.status.code(), Some(2), "{verb:?}: {output:?}");
        }
    }

    #[test]
    fn tasks_are_listed_and_one_that_is_not_there_is_named() {
        let desk = Desk::migrated();
        assert_eq!(out(&desk.run(&["task", "list", "--json"])).trim(), "[]");
        let id = "01a20738-1138-7154-a473-5ce5783cf4ef";
        assert!(refusal(&desk.run(&["task", "show", id])).contains(id));
    }

    #[test]
    fn a_bad_configuration_ends_a_verb_with_64_and_check_config_is_heard_beside_one() {
        let desk = Desk::new();
        let good = desk.run(&["--check-config", "task", "list"]);
        assert!(good.status.success() && out(&good).contains("good"), "{good:?}");
        std::fs::write(&desk.config, "[taskmanager]\nlease_second = 3\n").unwrap();
        let output = desk.run(&["task", "list"]);
        assert_eq!(output.status.code(), Some(64));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("line 2") && text.contains("lease_second"), "{text}");
    }

    /// After the first step of an upgrade, when the doctor is the first to be asked.
    #[tokio::test]
    async fn the_doctor_looks_at_what_a_newer_release_has_migrated() {
        let desk = Desk::migrated();
        let (pki, out_dir) = (desk.path().join("pki"), desk.path());
        let [pki, out_dir] = [pki.as_path(), out_dir].map(|path| path.to_str().unwrap());
        assert!(desk.run(&["pki", "init", "--directory", pki]).status.success());
        let issue = ["pki", "issue", "--role", "control", "--directory", pki, "--out-dir", out_dir];
        assert!(desk.run(&issue).status.success());
        std::fs::copy(desk.path().join("pki/ca.pem"), desk.path().join("ca.pem")).unwrap();
        let sound = desk.run(&["doctor"]);
        assert!(sound.status.success() && out(&sound).contains("nothing is wrong"), "{sound:?}");
        let address = format!("sqlite://{}", desk.path().join("redtrove.db").display());
        let mut database = sqlx::SqliteConnection::connect(&address).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (9000, '9000_more', TRUE, x'00', 0)";
        sqlx::query(newer).execute(&mut database).await.unwrap();
        let expanded = desk.run(&["doctor", "--json"]);
        assert!(expanded.status.success() && out(&expanded).contains("\"findings\": []"), "{expanded:?}");
        sqlx::query("UPDATE _sqlx_migrations SET description = '9000_contract_more' WHERE version = 9000")
            .execute(&mut database)
            .await
            .unwrap();
        let contracted = desk.run(&["doctor"]);
        assert_eq!(contracted.status.code(), Some(1));
        assert!(out(&contracted).contains("install the release"), "{contracted:?}");
    }
}
