//! Reads `postbackd.yaml`, the connectors it names and their body files, and finds every mistake of all of them.
//!
//! Refuses: returning a configuration that has one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::connector::{self, Draft, World};
use super::context::Context;
use super::files::{Disk, Files, ReadError};
use super::fixtures::ConnectorFixtures;
use super::node::{Node, Tree};
use super::problem::{Position, Problem, Problems, Severity};
use super::substitute::Environment;
use super::{Config, across, daemon, yaml};

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "postbackd.yaml";
/// Connectors of one daemon; each has a lane of its own.
const CONNECTORS_MAX: usize = 10_000;

/// How strict reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Accept variables that are not set and secret files that are not there, as in CI. What is loaded so must not run.
    pub no_env: bool,
}

/// A configuration that can be used.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// In the order of file and place.
    pub warnings: Vec<Problem>,
    /// Of the connectors that have some, in their order.
    pub fixtures: Vec<ConnectorFixtures>,
}

/// Reads the configuration at `file` on disk.
///
/// # Errors
/// Every mistake and every doubt, in the order of file and place.
pub fn load(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    options: LoadOptions,
) -> Result<Loaded, Vec<Problem>> {
    let mut loaded = load_from(&Disk, file, environment, options)?;
    loaded.config.file = Some(file.to_owned());
    Ok(loaded)
}

/// Reads the configuration at `file` among `files`, such as the demo's, which are on no disk.
///
/// # Errors
/// Every mistake and every doubt, in the order of file and place.
pub fn load_from(
    files: &dyn Files,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    options: LoadOptions,
) -> Result<Loaded, Vec<Problem>> {
    let problems = Problems::default();
    let environment = Environment { variable: environment, files, lenient: options.no_env };
    let read = read_all(file, &environment, &problems);
    let failed = problems.any_error();
    let noted = problems.into_sorted();
    match read {
        Some((config, fixtures)) if !failed => Ok(Loaded { config, warnings: noted, fixtures }),
        _ => Err(noted),
    }
}

fn read_all(
    file: &Path,
    environment: &Environment<'_>,
    problems: &Problems,
) -> Option<(Config, Vec<ConnectorFixtures>)> {
    let rank = problems.rank(&file.display().to_string());
    let documents = documents(file, rank, environment, problems)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let ctx = Context::new(problems, rank, environment);
    let empty = Node { at: Position::START, tree: Tree::Map(Vec::new()) };
    if let Some(second) = documents.get(1) {
        ctx.error(second.at, "a second YAML document starts here: keep everything in one, without `---`");
    }
    let daemon::Daemon { mut config, globs, templates } =
        daemon::read(&ctx, documents.first().unwrap_or(&empty), folder)?;
    let found = connector_files(&ctx, &globs, folder);
    let world = World {
        containers: &config.containers,
        templates: &templates,
        clicks_kept: config.retention.clicks,
        files: environment.files,
    };
    // Ranked first, so that body files come after connectors.
    let ranks: Vec<usize> = found.iter().map(|path| problems.rank(&path.display().to_string())).collect();
    let mut drafts = Vec::new();
    for (path, rank) in found.iter().zip(ranks) {
        drafts.extend(connectors(path, rank, environment, problems, &world));
    }
    if CONNECTORS_MAX < drafts.len() {
        ctx.error(
            Position::START,
            format!("{} connectors are more than the {CONNECTORS_MAX} that one daemon runs", drafts.len()),
        );
    }
    across::check(&drafts, problems);
    config.watched = watched(folder, &globs, &found, &templates);
    let mut fixtures = Vec::new();
    for draft in drafts {
        if !draft.fixtures.is_empty() {
            let (connector, file) = (draft.name, problems.name(draft.rank));
            fixtures.push(ConnectorFixtures { connector, file, fixtures: draft.fixtures });
        }
        config.connectors.extend(draft.connector.map(Arc::new));
    }
    Some((config, fixtures))
}

/// The YAML documents of a file, its mistakes noted. `None` if there is nothing to read.
fn documents(path: &Path, rank: usize, environment: &Environment<'_>, problems: &Problems) -> Option<Vec<Node>> {
    let whole = |message: String| {
        problems.note(rank, None, Severity::Error, message);
        None
    };
    let bytes = match environment.files.read(path, yaml::FILE_SIZE_MAX) {
        Ok(bytes) => bytes,
        Err(ReadError::Missing) if rank == 0 => {
            return whole(
                "there is no such file: name your configuration with --config FILE, or try `postbackd demo`, \
                 which needs none"
                    .to_owned(),
            );
        }
        Err(ReadError::Missing) => return whole("there is no such file any more".to_owned()),
        Err(ReadError::TooLarge) => return whole(format!("larger than {} bytes", yaml::FILE_SIZE_MAX)),
        Err(ReadError::Other(why)) => return whole(format!("cannot be read: {why}")),
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            return whole(format!("not UTF-8 text (line {line}): save the file as UTF-8"));
        }
    };
    let (documents, mistakes) = yaml::read(&text);
    for (at, message) in mistakes {
        problems.note(rank, Some(at), Severity::Error, message);
    }
    Some(documents)
}

/// The files that the globs name, each once.
fn connector_files(ctx: &Context<'_>, globs: &[(Position, String)], folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for (at, glob) in globs {
        // What stands before the glob is a folder's name, whatever characters it holds.
        let pattern = if Path::new(glob).is_absolute() || folder.as_os_str().is_empty() {
            glob.clone()
        } else {
            format!("{}/{glob}", glob::Pattern::escape(&folder.display().to_string()))
        };
        match ctx.environment.files.matching(&pattern) {
            Ok(paths) if paths.is_empty() => ctx.warn(*at, format!("connectors: `{glob}` matches no file")),
            Ok(paths) => found.extend(paths),
            Err(why) => ctx.error(*at, format!("connectors: `{glob}`: {why}")),
        }
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

/// The connectors of one file: each document is one, or a list of them under `connectors:`.
fn connectors(
    path: &Path,
    rank: usize,
    environment: &Environment<'_>,
    problems: &Problems,
    world: &World<'_>,
) -> Vec<Draft> {
    let Some(documents) = documents(path, rank, environment, problems) else { return Vec::new() };
    let mut drafts = Vec::new();
    // A connector's secrets are its own: each is read in a context of its own.
    let mut read = |node: &Node| {
        let ctx = Context::new(problems, rank, environment);
        drafts.extend(connector::read(&ctx, node, world));
    };
    let ctx = Context::new(problems, rank, environment);
    let mut empty = true;
    let readable = !problems.any_error_in(rank);
    for document in documents.iter().filter(|document| !document.is_null()) {
        empty = false;
        match listed(&ctx, document) {
            Some(nodes) => nodes.iter().for_each(&mut read),
            None => read(document),
        }
    }
    if empty && readable {
        ctx.warn(Position::START, "holds no connector");
    }
    drafts
}

/// The elements under `connectors:`, if that is what the document is.
fn listed<'n>(ctx: &Context<'_>, document: &'n Node) -> Option<&'n [Node]> {
    let Tree::Map(members) = &document.tree else { return None };
    let list = members.iter().find(|member| &*member.key == "connectors")?;
    for other in members.iter().filter(|member| &*member.key != "connectors") {
        ctx.error(
            other.key_at,
            format!("`{}` stands beside `connectors:`: move it into one of the connectors", other.key),
        );
    }
    match &list.value.tree {
        Tree::List(nodes) => Some(nodes),
        Tree::Reported => Some(&[]),
        Tree::Scalar(_) | Tree::Map(_) => {
            ctx.error(list.value.at, format!("`connectors` must be a list of connectors, not {}", list.value.kind()));
            Some(&[])
        }
    }
}

/// The folders whose changes call for a reload: files are replaced by renaming, so folders are what can be watched.
fn watched(folder: &Path, globs: &[(Position, String)], found: &[PathBuf], templates: &Path) -> Vec<PathBuf> {
    let here = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    let mut folders = vec![here(folder)];
    for (_, glob) in globs {
        let fixed: PathBuf = Path::new(glob)
            .components()
            .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
            .collect();
        // A glob without wildcards names a file.
        let fixed =
            if fixed == Path::new(glob) { fixed.parent().map(Path::to_owned).unwrap_or_default() } else { fixed };
        folders.push(here(&folder.join(fixed)));
    }
    folders.extend(found.iter().filter_map(|path| path.parent()).map(here));
    folders.push(templates.to_owned());
    let mut seen = std::collections::HashSet::new();
    folders.retain(|path| seen.insert(path.clone()));
    folders
}
