//! The documents' commands: each claim has one that shows it, so each must still name a test, an example or a task that is there.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Fails with the names of commands that show nothing.
pub(crate) fn check() -> Result<()> {
    let tests = tests()?;
    let mut broken = Vec::new();
    for document in documents()? {
        let text = fs::read_to_string(&document).with_context(|| format!("reading {}", document.display()))?;
        let name = document.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let commands: BTreeSet<String> = commands(&text).collect();
        broken.extend(commands.into_iter().filter(|c| !shows(c, &tests)).map(|c| format!("{name}: {c}")));
    }
    ensure!(broken.is_empty(), "commands in the documents that name nothing that is there:\n  {}", broken.join("\n  "));
    Ok(())
}

/// The texts that make claims.
fn documents() -> Result<Vec<PathBuf>> {
    let mut all = vec![cargo::root().join("README.md")];
    for entry in fs::read_dir(cargo::root().join("docs"))? {
        all.push(entry?.path());
    }
    all.retain(|p| p.extension().is_some_and(|e| e == "md"));
    all.sort();
    Ok(all)
}

/// Names of all tests of the workspace, which are built already.
fn tests() -> Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["test", "--quiet", "--workspace", "--", "--list"])
        .current_dir(cargo::root())
        .stderr(Stdio::inherit())
        .output()
        .context("listing the tests")?;
    ensure!(out.status.success(), "listing the tests: {}", out.status);
    let names = String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|l| l.strip_suffix(": test").map(str::to_owned))
        .collect::<Vec<_>>();
    ensure!(!names.is_empty(), "no tests are listed");
    Ok(names)
}

/// What stands in a text as `cargo ...`, between backquotes or on an indented line.
fn commands(text: &str) -> impl Iterator<Item = String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let indented = text.lines().filter_map(|l| l.strip_prefix("    "));
    let all = quoted.chain(indented).filter(|c| c.starts_with("cargo "));
    // A command may go over the end of a line, and have a remark behind it.
    all.map(|c| c.split("  #").next().unwrap_or(c).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Whether a command does what it is there for: run tests that exist, an example, or a task.
fn shows(command: &str, tests: &[String]) -> bool {
    let mut words = command.split(' ').skip(1);
    match words.next() {
        Some("test") => named(words).iter().all(|word| tests.iter().any(|t| t.contains(word))),
        Some("run") => match words.skip_while(|w| *w != "--example").nth(1) {
            Some(example) => ["analyzer/replay", "analyzer", "recorder", "formats"].iter().any(|krate| {
                let examples = cargo::root().join(krate).join("examples");
                examples.join(example).is_dir() || examples.join(format!("{example}.rs")).is_file()
            }),
            None => true,
        },
        Some("xtask") => words.next().is_some_and(is_task),
        _ => true,
    }
}

/// Whether `cargo xtask` knows it.
fn is_task(word: &str) -> bool {
    crate::USAGE.lines().skip(1).any(|l| l.split_whitespace().next() == Some(word))
}

/// The parts of tests' names among the words of `cargo test`.
fn named<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut of_option = false;
    for word in words {
        if of_option {
            of_option = false;
        } else if word.starts_with('-') {
            of_option = matches!(word, "-p" | "--test" | "--example" | "--bin");
        } else {
            names.push(word);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_and_judged() {
        let text = "Shown by `cargo test -p replay\nhops::tests` and\n\n    cargo xtask demo     # as root\n    analyze x\n\n`cargo test -p e2e --test e2e -- live::none`";
        let found: Vec<String> = commands(text).collect();
        let expected =
            ["cargo test -p replay hops::tests", "cargo test -p e2e --test e2e -- live::none", "cargo xtask demo"];
        assert_eq!(found, expected);
        let tests = vec!["hops::tests::clocks".to_owned()];
        assert_eq!(found.iter().map(|c| shows(c, &tests)).collect::<Vec<_>>(), [true, false, true]);
        assert!(!shows("cargo xtask nothing", &tests));
        assert!(!shows("cargo run --release -p replay --example nothing -- X", &tests));
        assert!(shows("cargo run --release -p replay --example parse_speed", &tests));
    }
}
