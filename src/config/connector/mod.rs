//! One connector as meant: everything in its file checked, its templates compiled, its revision computed.
//!
//! Refuses: comparing connectors with each other; `across` does.

mod auth;
mod body;
mod click;
mod condition;
mod expectation;
mod outcome;
mod own;
mod request;
mod signing;

use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::context::Context;
use super::fields::Fields;
use super::files::Files;
use super::fixtures::Fixture;
use super::gallery;
use super::keys::connector::CONNECTOR;
use super::node::{Node, Tree};
use super::problem::Position;
use super::templates::Templates;
use super::{Container, values};
use crate::model::connector::{Connector, ConsentKind, Deduplicate, Mode, Setting, Triggers};
use crate::model::ids::{ConnectorName, ContainerKey, Revision};
use crate::model::secret::Text;

/// What a connector may refer to.
pub struct World<'a> {
    pub containers: &'a [Container],
    pub templates: &'a Path,
    /// `retention.clicks`.
    pub clicks_kept: Duration,
    pub files: &'a dyn Files,
}

/// A connector with what is needed to compare it with the others.
pub struct Draft {
    pub name: ConnectorName,
    /// `None` where too much is wrong, which has been noted.
    pub connector: Option<Connector>,
    pub fixtures: Vec<Fixture>,
    pub rank: usize,
    pub name_at: Position,
    pub click_param_at: Position,
}

/// Reads the connector at `node`. `None`, with notes, where it has not even a name.
pub fn read(ctx: &Context<'_>, node: &Node, world: &World<'_>) -> Option<Draft> {
    if matches!(node.tree, Tree::List(_)) {
        ctx.error(node.at, "a connector must be a mapping; a list of connectors goes under `connectors:`");
        return None;
    }
    let laid = gallery::lay_under(ctx, node)?;
    let node = &*laid.node;
    let f = Fields::open(ctx, "a connector", node, &CONNECTOR)?;
    let name = f.given("name").and_then(|node| ctx.shown("name", node, name));
    let triggers = triggers(&f);
    let settings = settings(&f, &laid.secret);
    let values = own::read(&f, &Templates { ctx, settings: &settings, values: None, for_each: false });
    let templates = Templates { ctx, settings: &settings, values: Some(&values), for_each: false };
    let when = f.objects("when").iter().filter_map(|f| condition::read(f, &templates)).collect();
    let click_matching = f.object("click_matching");
    let click_param_at = click_matching.as_ref().map_or(f.at, |click| click.position("param"));
    let click_matching = click_matching.and_then(|click| click::read(&click, world.clicks_kept));
    let deduplicate = f.object("deduplicate").and_then(|f| deduplicate(&f, &templates));
    let event_names = event_names(&f);
    let mode = f.choice("mode", &[Mode::Enabled, Mode::Test, Mode::Disabled]).unwrap_or(Mode::Test);
    let containers = containers(&f, world.containers);
    let require_consent = f.choice("require_consent", &[ConsentKind::Ads, ConsentKind::Analytics]);
    let fixtures = f.objects("fixtures").iter().filter_map(expectation::read).collect();
    let request = f.object("postback").and_then(|postback| {
        let for_each = postback.choice("for_each", &[true]).unwrap_or_default();
        request::read(&postback, &Templates { for_each, ..templates }, world)
    });
    let name = ConnectorName::from(name?);
    let connector = request.map(|request| Connector {
        revision: revision(node, request.file_source.as_deref()),
        name: name.clone(),
        mode,
        containers,
        triggers,
        require_consent,
        when,
        event_names,
        click_matching,
        deduplicate,
        postback: request.spec,
        postback_enabled: request.enabled,
        settings,
        values,
        secrets: ctx.secrets(),
    });
    Some(Draft { name, connector, fixtures, rank: ctx.rank, name_at: f.position("name"), click_param_at })
}

fn name(text: &str) -> Result<Box<str>, values::Wrong> {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=100).contains(&text.len()) && text.bytes().all(valid) && !text.starts_with('-') {
        return Ok(text.into());
    }
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let proposal: String = text.trim().chars().map(fold).collect();
    let proposal = proposal.trim_matches('-');
    let example = if proposal.is_empty() { "network-x" } else { proposal };
    Err(format!("is no connector name: use up to 100 of a-z, 0-9 and -, like {}", example.get(..60).unwrap_or(example)))
}

fn triggers(f: &Fields<'_>) -> Triggers {
    let names = f.shown_words("triggers").unwrap_or_default();
    if f.is_empty_list("triggers") {
        let message = "triggers: `[]` never fires: name events, like [Purchase], or \"*\" for every track event";
        f.ctx.error(f.position("triggers"), message);
    }
    if names.iter().any(|name| **name == *"*") { Triggers::Every } else { Triggers::Named(names) }
}

fn containers(f: &Fields<'_>, known: &[Container]) -> Option<Vec<ContainerKey>> {
    let parse = |text: &str| {
        let found = known.iter().find(|c| *c.key == *text || *c.name == *text);
        found.map(|c| c.key.clone()).ok_or_else(|| {
            let names = known.iter().map(|c| &*c.name).collect::<Vec<_>>();
            match (values::nearest(text, names.iter().copied()), names.is_empty()) {
                (Some(near), _) => format!("is no container; did you mean `{near}`?"),
                (None, true) => "is no container: none are configured".to_owned(),
                (None, false) => format!("is no container; those configured are: {}", names.join(", ")),
            }
        })
    };
    let keys = f.all("containers", parse)?;
    if f.is_empty_list("containers") {
        f.ctx.error(
            f.position("containers"),
            "containers: `[]` listens to none: name some, or leave the key out for all",
        );
    }
    Some(keys)
}

/// What `<<EVENT_NAME>>` says is shown wherever a request is; a secret has no place in it.
fn event_names(f: &Fields<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut names = Vec::new();
    for member in f.members("event_names").unwrap_or_default() {
        let name = |text: &str| match text.trim() {
            "" => Err("says nothing: write a name, or take the key away".to_owned()),
            _ => Ok(text.into()),
        };
        names.extend(f.ctx.shown(&member.key, &member.value, name).map(|name| (member.key.clone(), name)));
    }
    names
}

fn deduplicate(f: &Fields<'_>, templates: &Templates<'_>) -> Option<Deduplicate> {
    let by = f.given("by").and_then(|node| templates.slot("by", node));
    let keep = f.duration("for");
    if keep.is_some_and(|keep| keep.is_zero()) {
        f.ctx.error(f.position("for"), "for: `0s` remembers nothing: write more, like 30d");
    }
    Some(Deduplicate { by: by?, keep: keep? })
}

/// Those that are `secret` are kept out of logs even where they are written out.
fn settings(f: &Fields<'_>, secret: &[Box<str>]) -> Vec<Setting> {
    let mut settings = Vec::new();
    for member in f.members("settings").unwrap_or_default() {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if member.key.is_empty() || !member.key.bytes().all(valid) {
            let message = format!("settings: `{}` is no name: use letters, digits and _", member.key);
            f.ctx.error(member.key_at, message);
        }
        let Some(mut text) = f.ctx.text(&member.key, &member.value).map(|text| text.text) else { continue };
        if secret.contains(&member.key) && !text.is_tainted() && !text.is_empty() {
            f.ctx.keep_secret(text.reveal());
            let mut kept = Text::default();
            kept.push_secret(text.reveal());
            text = kept;
        }
        settings.push(Setting { name: member.key.clone(), value: text });
    }
    settings
}

/// First 12 hex digits of the SHA-256 over what the file says, secrets by name, and over the body file. Fixtures are
/// left out: they change no request.
fn revision(node: &Node, body_file: Option<&str>) -> Revision {
    let mut hash = Sha256::new();
    hash.update(node.canonical("fixtures"));
    if let Some(source) = body_file {
        hash.update([0]);
        hash.update(source);
    }
    hex::encode(hash.finalize())[..12].into()
}
