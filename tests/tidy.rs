//! The laws of the repository, proved from its files: the floor plan, the heads of files, their lengths, what is never left
//! in code, and that nothing is kept which no test reads.
//!
//! Refuses: taste. What rustfmt and clippy know is theirs; that the README's tables say what the code says is proved beside
//! the code, in `src/tests.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

const LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const MAIN_LINES_MAX: usize = 60;

/// What a room may use of the others, and which crates are not to be named in it.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

/// Clocks, chance, logging and waiting: what would make a rule give another answer tomorrow.
const IMPURE: &[&str] = &[
    "tokio",
    "tracing",
    "fastrand",
    "rusqlite",
    "reqwest",
    "lapin",
    "axum",
    "hyper",
    "futures_util",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "async",
];

/// DESIGN: who may use whom. Arrows never point back up.
const FLOOR_PLAN: &[Room] = &[
    Room {
        name: "model",
        may_use: &[],
        never: &[
            "serde",
            "serde_json",
            "schemars",
            "tokio",
            "tracing",
            "fastrand",
            "rusqlite",
            "reqwest",
            "lapin",
            "axum",
            "hyper",
            "async",
        ],
    },
    Room { name: "json", may_use: &["model"], never: IMPURE },
    Room { name: "rules", may_use: &["model", "json"], never: IMPURE },
    Room {
        name: "telemetry",
        may_use: &["model", "config"],
        never: &["rusqlite", "reqwest", "lapin", "axum", "hyper"],
    },
    Room {
        name: "config",
        may_use: &["model", "json", "rules", "telemetry"],
        never: &["rusqlite", "reqwest", "lapin", "axum", "hyper"],
    },
    Room { name: "ingest", may_use: &["model", "config", "telemetry", "json"], never: &["rusqlite", "reqwest"] },
    Room {
        name: "store",
        may_use: &["model", "config", "telemetry", "json"],
        never: &["lapin", "reqwest", "axum", "hyper"],
    },
    Room {
        name: "dispatch",
        may_use: &["model", "config", "telemetry", "json", "rules"],
        never: &["lapin", "rusqlite", "axum"],
    },
    Room {
        name: "pipeline",
        may_use: &["model", "json", "rules", "config", "telemetry", "ingest", "store", "dispatch"],
        never: &["lapin", "reqwest", "rusqlite", "axum"],
    },
    Room {
        name: "daemon",
        may_use: &[
            "model",
            "json",
            "rules",
            "config",
            "telemetry",
            "ingest",
            "store",
            "dispatch",
            "pipeline",
            "console",
        ],
        never: &[],
    },
    Room {
        name: "console",
        may_use: &[
            "model",
            "json",
            "rules",
            "config",
            "telemetry",
            "ingest",
            "store",
            "dispatch",
            "pipeline",
            "daemon",
        ],
        never: &["lapin", "rusqlite"],
    },
    Room { name: "demo", may_use: &["model", "config", "store", "daemon", "telemetry"], never: &["lapin", "rusqlite"] },
    Room {
        name: "cli",
        may_use: &[
            "demo",
            "model",
            "json",
            "rules",
            "config",
            "telemetry",
            "ingest",
            "store",
            "dispatch",
            "pipeline",
            "daemon",
            "console",
            "demo",
        ],
        never: &["lapin", "rusqlite"],
    },
];

struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// Line by line without comments and without the test module at its end; texts in quotes are blanked.
    fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let quoted = Regex::new(r#"b?"(?:[^"\\]|\\.)*""#).unwrap();
        let lines = text.lines().map(|line| {
            let line = quoted.replace_all(line, "\"\"").into_owned();
            line.split("//").next().unwrap_or_default().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn is_test(&self) -> bool {
        !self.path.starts_with("src/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The room it stands in, and how many modules deep it is below the crate.
    fn place(&self) -> Option<(&str, usize)> {
        let inside = self.path.strip_prefix("src/")?;
        let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').filter(|p| *p != "mod").collect();
        match parts.as_slice() {
            ["lib" | "main" | "tests"] => None,
            parts => Some((parts[0], parts.len())),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let all = ["src", "tests", "benches"].into_iter().flat_map(files_below);
    let rust = all.filter(|p| p.extension().is_some_and(|e| e == "rs"));
    rust.map(|p| Source {
        path: p.strip_prefix(root()).unwrap().display().to_string(),
        text: std::fs::read_to_string(&p).unwrap(),
    })
    .collect()
}

fn report(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for_and_ends_in_time() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let most = if source.path == "src/main.rs" { MAIN_LINES_MAX } else { LINES_MAX };
        if !source.text.starts_with("//!") && !source.text.starts_with("#![doc = include_str!(") {
            broken.push(format!("{}: opens without `//!`: say what it is for and what it refuses", source.path));
        }
        if most < lines {
            broken.push(format!("{}: {lines} lines, at most {most}: find the second subject in it", source.path));
        }
    }
    report(broken);
}

#[test]
fn every_file_is_declared_by_its_parent() {
    let all = sources();
    let text = |path: String| all.iter().find(|s| s.path == path).map(|s| s.text.as_str());
    let mut broken = Vec::new();
    for source in &all {
        let (folder, file) = source.path.rsplit_once('/').unwrap();
        let name = file.trim_end_matches(".rs");
        // Where cargo starts; and a `mod.rs` is declared by the folder above it.
        let is_root = ["lib", "main", "tidy"].contains(&name);
        let (folder, name) = if name == "mod" { folder.rsplit_once('/').unwrap() } else { (folder, name) };
        let parents = [
            format!("{folder}.rs"),
            format!("{folder}/mod.rs"),
            format!("{folder}/main.rs"),
            format!("{folder}/lib.rs"),
        ];
        let declared = Regex::new(&format!(r"(?m)^\s*(?:pub(?:\([a-z: ]+\))? )?mod {name};")).unwrap();
        if !is_root && !parents.into_iter().filter_map(text).any(|t| declared.is_match(t)) {
            broken.push(format!("{}: no module declares it, so nothing compiles it", source.path));
        }
    }
    report(broken);
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let start =
        Regex::new(r#"^( *)(?:pub(?:\([a-z ]+\))? )?(?:const |async |extern "[A-Z]+" )*fn ([a-z_0-9]+)"#).unwrap();
    let mut broken = Vec::new();
    for source in sources().into_iter().filter(|s| !s.is_test()) {
        let code = source.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines: Vec<&str> = code.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(found) = start.captures(line) else { continue };
            // Formatted code: a body ends with the brace under its beginning; a signature alone ends with a semicolon.
            let (open, close, bare) = (&found[1], format!("{}}}", &found[1]), format!("{};", &found[1]));
            let one_line = line.ends_with('}') || line.ends_with(';');
            let is_end =
                |l: &&str| **l == close || (l.starts_with(&bare) && l.trim() == ";") || ends_signature(l, open);
            let length = if one_line { 1 } else { 1 + lines[at + 1..].iter().take_while(|l| !is_end(l)).count() + 1 };
            if FUNCTION_LINES_MAX < length {
                let name = &found[2];
                broken.push(format!(
                    "{}:{}: fn {name} has {length} lines, at most {FUNCTION_LINES_MAX}",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    report(broken);
}

/// `) -> Answer;` of a trait's method whose arguments stand on lines of their own.
fn ends_signature(line: &str, indent: &str) -> bool {
    line.strip_prefix(indent).is_some_and(|l| l.starts_with(')') && l.ends_with(';'))
}

#[test]
fn nothing_unfinished_is_left_in_the_code() {
    // Put together here, so that this file does not find itself.
    let words = [["todo", "!("], ["unimplemented", "!("], ["FIX", "ME"], ["TO", "DO"], ["XX", "X"], ["#[ig", "nore"]];
    let mut broken = Vec::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            for word in words.map(|w| w.concat()).iter().filter(|w| line.contains(w.as_str())) {
                broken.push(format!("{}:{}: {word}", source.path, at + 1));
            }
        }
    }
    report(broken);
}

/// Every room that `code`, `depth` modules below the crate, names: `crate::room`, `crate::{room, …}`, `super::super::room`.
fn rooms_named(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let path = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    found.extend(path.captures_iter(code).map(|c| c[1].to_owned()));
    let group = Regex::new(r"\bcrate::\{").unwrap();
    for start in group.find_iter(code) {
        found.extend(names_in_group(&code[start.end()..]));
    }
    let upward = Regex::new(r"\b((?:super::)+)([a-z_]+)").unwrap();
    for up in upward.captures_iter(code) {
        if depth <= up[1].len() / "super::".len() {
            found.insert(up[2].to_owned());
        }
    }
    found
}

/// The first names of the members of a `use` group, up to its closing brace.
fn names_in_group(text: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (0, Vec::new(), String::new());
    let mut whole = false;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(std::mem::take(&mut name));
                whole = false;
            }
            ':' => whole = true,
            c if depth == 0 && !whole && !c.is_whitespace() => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    names.retain(|n| !n.is_empty());
    names
}

#[test]
fn rooms_use_only_what_the_floor_plan_allows() {
    let mut broken = Vec::new();
    for source in sources().into_iter().filter(|s| s.path.starts_with("src/") && !s.is_test()) {
        let Some((room, depth)) = source.place() else { continue };
        let Some(plan) = FLOOR_PLAN.iter().find(|r| r.name == room) else {
            broken.push(format!("{}: {room} has no place in the floor plan", source.path));
            continue;
        };
        let code = source.code();
        let rooms = rooms_named(&code, depth).into_iter().filter(|n| FLOOR_PLAN.iter().any(|r| r.name == *n));
        for other in rooms.filter(|n| n != room && !plan.may_use.contains(&n.as_str())) {
            broken.push(format!("{}: {room} must not use {other}", source.path));
        }
        for word in plan.never {
            let pattern = match *word {
                "async" => r"\basync\b|\.await\b".to_owned(),
                word if word.contains("::") || word.starts_with(char::is_uppercase) => format!(r"\b{word}\b"),
                name => format!(r"(?:\b{name}::|\buse {name}\b|::\{{[^}}]*\b{name}\b)"),
            };
            if Regex::new(&pattern).unwrap().is_match(&code) {
                broken.push(format!("{}: {room} must not name {word}", source.path));
            }
        }
    }
    report(broken);
}

#[test]
fn nothing_uses_the_rooms_above_it() {
    let uses = |room: &str, other: &str| FLOOR_PLAN.iter().any(|r| r.name == room && r.may_use.contains(&other));
    for room in FLOOR_PLAN {
        assert!(!room.may_use.contains(&"cli"), "nobody uses cli");
        for other in room.may_use {
            let both = uses(room.name, other) && uses(other, room.name);
            let allowed = [room.name, *other].iter().all(|r| ["daemon", "console", "config", "telemetry"].contains(r));
            assert!(!both || allowed, "{} and {other} use each other", room.name);
        }
    }
    let code =
        "use crate::{config::Config, model::{self, click::Click}, store};\nsuper::super::rules::x(); super::near::y()";
    let found: Vec<String> = rooms_named(code, 2).into_iter().collect();
    assert_eq!(found, ["config", "model", "rules", "store"]);
}

#[test]
fn every_scenario_and_configuration_is_one_that_a_test_reads() {
    let mut broken = Vec::new();
    for path in files_below("tests/scenarios") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name != "README.md" && !name.ends_with(".yaml") {
            broken.push(format!("{}: the scenarios are *.yaml", path.display()));
        }
    }
    for path in files_below("tests/configs/invalid") {
        let partner = match path.extension().and_then(|e| e.to_str()) {
            Some("yaml") => path.with_extension("expected"),
            _ => path.with_extension("yaml"),
        };
        if !partner.exists() {
            broken.push(format!("{}: there is no {}", path.display(), partner.display()));
        }
    }
    for path in files_below("tests/configs/valid") {
        if path.extension().is_none_or(|e| e != "yaml") {
            broken.push(format!("{}: the configurations are *.yaml", path.display()));
        }
    }
    report(broken);
}

#[test]
fn the_scenarios_cover_every_reason() {
    // A reason that no scenario can bring about is a reason that nobody has seen.
    let told: String = files_below("tests/scenarios").iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    let reasons = postbackd::model::delivery::Reason::ALL.iter().map(|r| r.word());
    let silent: Vec<&str> = reasons.filter(|r| !told.contains(r)).collect();
    assert!(silent.is_empty(), "no scenario ends in {silent:?}");
}
