//! The part of docs/performance.md that belongs to one benchmark, and the files beside the page.
//!
//! The numbers are kept as JSON; section and plot are made of them, and a test of each benchmark holds the three
//! together.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::compile;

/// The documentation of this workspace.
pub(super) fn docs() -> PathBuf {
    compile::project_root().join("docs")
}

/// What a benchmark puts into the documentation.
pub(super) struct Section<'a> {
    /// The benchmark's name on the command line; files and marks have it.
    pub(super) name: &'a str,
    /// What stands between the marks.
    pub(super) text: String,
    /// The plot.
    pub(super) picture: String,
}

impl Section<'_> {
    /// Writes the section, the plot, and the numbers that both are made of.
    pub(super) fn write(&self, docs: &Path, numbers: &impl Serialize) -> Result<()> {
        let page = page(docs);
        let text = fs::read_to_string(&page).context("no page to write to")?;
        let replaced = self.put_into(&text)?;
        fs::create_dir_all(docs.join("performance")).context("no place for the numbers")?;
        let numbers = serde_json::to_string_pretty(numbers).context("cannot write the numbers")? + "\n";
        for (path, text) in
            [(self.file(docs, "json"), &numbers), (self.file(docs, "svg"), &self.picture), (page, &replaced)]
        {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// The page with this section between its marks; the prose around it stays.
    fn put_into(&self, page: &str) -> Result<String> {
        let (begin, end) = marks(self.name);
        let (before, rest) = page.split_once(&begin).context("docs/performance.md has no begin of this benchmark")?;
        let (_, after) = rest.split_once(&end).context("docs/performance.md has no end of this benchmark")?;
        Ok(format!("{before}{begin}{}{end}{after}", self.text))
    }

    fn file(&self, docs: &Path, end: &str) -> PathBuf {
        docs.join(format!("performance/{}.{end}", self.name))
    }
}

fn page(docs: &Path) -> PathBuf {
    docs.join("performance.md")
}

fn marks(name: &str) -> (String, String) {
    let begin = format!("<!-- bench {name}: begin; written by `cargo xtask bench {name}` -->\n");
    (begin, format!("<!-- bench {name}: end -->\n"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use serde::de::DeserializeOwned;

    use super::{Section, docs, marks, page};

    /// Checks that the documentation's page and plot of `name` are made of its numbers.
    pub(in crate::bench) fn check_documented<R: DeserializeOwned>(name: &str, section: impl Fn(&R) -> Section<'_>) {
        let docs = docs();
        let text = fs::read_to_string(docs.join(format!("performance/{name}.json"))).expect("numbers");
        let results: R = serde_json::from_str(&text).expect("results");
        let section = section(&results);
        assert_eq!(fs::read_to_string(section.file(&docs, "svg")).expect("a plot"), section.picture);
        let shown = fs::read_to_string(page(&docs)).expect("a page");
        assert_eq!(section.put_into(&shown).expect("marks"), shown, "the page shows other numbers");
    }

    #[test]
    fn prose_around_the_section_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let (begin, end) = marks("x");
        let text = |inside: &str| format!("# Before\n\n{begin}{inside}{end}\nAfter.\n");
        fs::write(page(dir.path()), text("old\n")).expect("written");
        let section = Section { name: "x", text: "new\n".to_owned(), picture: "<svg/>\n".to_owned() };
        section.write(dir.path(), &[1.5]).expect("written");
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("a file");
        assert_eq!(read("performance.md"), text("new\n"));
        assert_eq!(read("performance/x.svg"), "<svg/>\n");
        assert_eq!(serde_json::from_str::<Vec<f64>>(&read("performance/x.json")).expect("numbers"), [1.5]);
        assert!(section.put_into("no marks").is_err());
    }
}
