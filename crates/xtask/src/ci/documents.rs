//! What the documents point at: every relative link leads to something, and the reference of the configuration has
//! every key of the samples.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::compile::project_root;
use crate::say;

pub(super) fn check() -> Result<()> {
    let root = project_root();
    let mut documents = vec![root.join("README.md")];
    collect(&root.join("docs"), "md", &mut documents)?;
    let mut wrong = Vec::new();
    for document in &documents {
        let text = read(document)?;
        let folder = document.parent().unwrap_or(&root);
        let dead = links(&text).filter(|link| !leads_somewhere(folder, link));
        wrong.extend(dead.map(|link| format!("{}: {link} leads nowhere", name(document, &root))));
    }
    let mut samples = Vec::new();
    collect(&root.join("deploy/config"), "toml", &mut samples)?;
    let reference = read(&root.join("docs/configuration.md"))?;
    for sample in &samples {
        let text = read(sample)?;
        let missing = keys(&text).into_iter().filter(|key| !reference.contains(&format!("`{key}`")));
        wrong.extend(missing.map(|key| format!("docs/configuration.md: no word of {key} in {}", name(sample, &root))));
    }
    if !wrong.is_empty() {
        bail!("the documents are wrong:\n  {}", wrong.join("\n  "));
    }
    say::note(&format!("{} documents and {} sample configurations checked", documents.len(), samples.len()));
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn name(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// All files below `folder` with this end of their name, in order.
fn collect(folder: &Path, end: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot look into {}", folder.display()))?;
    for entry in entries {
        let path = entry.context("cannot look into a folder of documents")?.path();
        if path.is_dir() {
            collect(&path, end, found)?;
        } else if path.extension().is_some_and(|found| found == end) {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// The targets of Markdown's inline links that lead to files, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let files = targets.map(|target| target.split_once('#').map_or(target, |(file, _)| file));
    files.filter(|file| !file.is_empty() && !file.contains("://"))
}

fn leads_somewhere(folder: &Path, link: &str) -> bool {
    !link.starts_with('/') && folder.join(link).exists()
}

/// The keys of a sample, those that are commented out included (`#key = …`), but not the keys of the tables whose keys
/// an operator chooses.
fn keys(sample: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut chosen = false;
    for line in sample.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some(section) = line.strip_prefix('[') {
            chosen = ["policy]", "engines]"].iter().any(|end| section.ends_with(end));
        } else if let Some((key, _)) = line.split_once(" = ") {
            let plain = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if plain && !chosen && !key.is_empty() {
                found.push(key);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{check, keys, leads_somewhere, links};

    #[test]
    fn links_to_files_are_found_and_others_are_not() {
        let text = "[a](one.md), [b](../two.rs#L3) and [c](#here), [d](https://example.org/x) [e](no end";
        assert_eq!(links(text).collect::<Vec<_>>(), vec!["one.md", "../two.rs"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told_from_one_that_does() {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("there.md"), "").expect("a file");
        assert!(leads_somewhere(place.path(), "there.md"));
        assert!(!leads_somewhere(place.path(), "gone.md"));
        assert!(!leads_somewhere(place.path(), "/etc/passwd"), "a path of one machine");
    }

    #[test]
    fn keys_are_those_that_the_program_names() {
        let sample = "# prose = none\n[a]\nhost = 1\n#port = 2\n[policy]\nx = \"y\"\n[[b.engines]]\n[c.engines]\nredis = 1\n[d]\nid = 1\n";
        assert_eq!(keys(sample), vec!["host", "port", "id"]);
    }

    #[test]
    fn the_documents_of_this_workspace_are_right() {
        check().expect("links and keys");
    }
}
