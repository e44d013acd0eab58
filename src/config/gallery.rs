//! Ready-made connectors: `template: NAME` lays a connector's own keys over those of `templates/NAME.yaml`, which stand in this
//! program.
//!
//! Refuses: code for one network. A template says what any connector could say.

use std::borrow::Cow;

use super::context::{Context, quoted};
use super::node::{Layout, Member, Node, Scalar, Tree};
use super::problem::Position;
use super::{values, yaml};

/// A ready-made connector as it stands in this program.
#[derive(Debug)]
pub struct Ready {
    pub name: &'static str,
    source: &'static str,
}

macro_rules! gallery {
    ($($name:literal),* $(,)?) => {
        /// Every ready-made connector, in alphabetical order.
        pub static ALL: &[Ready] = &[$(Ready {
            name: $name,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $name, ".yaml")),
        }),*];
    };
}

gallery![
    "admitad",
    "adtraction",
    "affise",
    "applovin",
    "awin",
    "awin-api",
    "binom",
    "cj",
    "dub-lead",
    "dub-sale",
    "everflow",
    "exoclick",
    "google-ads-data-manager",
    "google-analytics-4",
    "impact",
    "keitaro",
    "linkedin",
    "meta-conversions-api",
    "mgid",
    "microsoft-uet",
    "outbrain",
    "pinterest",
    "postback-get",
    "postback-post-form",
    "postbackd-batch",
    "postbackd-collect",
    "postbackd-conversion",
    "postbackd-hook",
    "quora",
    "rakuten",
    "reddit",
    "redtrack",
    "refersion",
    "revcontent",
    "scaleo",
    "shareasale",
    "slack",
    "snap",
    "spotify",
    "taboola",
    "tiktok-events",
    "tradedoubler",
    "trafficstars",
    "tune",
    "voluum",
    "webhook-json",
    "x",
];

/// What a ready-made connector asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: Box<str>,
    pub description: Box<str>,
    pub required: bool,
    pub secret: bool,
    pub default: Option<Box<str>>,
    /// A regular expression that the value matches from beginning to end.
    pub pattern: Option<Box<str>>,
    /// A value that it could have.
    pub example: Box<str>,
}

/// A ready-made connector, read.
#[derive(Debug)]
pub struct Template {
    /// The network's own name.
    pub title: Box<str>,
    /// Where what is said here comes from, and how far it can be trusted.
    pub facts: Box<str>,
    pub settings: Vec<Setting>,
    /// What the connector is laid over.
    connector: Node,
}

/// The ready-made connector of this name.
pub fn find(name: &str) -> Option<&'static Ready> {
    ALL.iter().find(|ready| ready.name == name)
}

impl Ready {
    /// Reads what stands in this program. What is not there is empty; a test reads them all.
    pub fn read(&self) -> Template {
        let (documents, _) = yaml::read(self.source);
        let empty = Node { at: Position::START, tree: Tree::Map(Vec::new()) };
        let document = documents.into_iter().next().unwrap_or_else(|| empty.clone());
        let text = |name: &str| text_of(&document, name).unwrap_or_default();
        let settings = members(member(&document, "settings").unwrap_or(&empty));
        Template {
            title: text("title"),
            facts: text("facts"),
            settings: settings.iter().map(setting).collect(),
            connector: member(&document, "connector").unwrap_or(&empty).clone(),
        }
    }
}

fn setting(member: &Member) -> Setting {
    let text = |name: &str| text_of(&member.value, name);
    let is = |name: &str| text(name).is_some_and(|text| &*text == "true");
    Setting {
        name: member.key.clone(),
        description: text("description").unwrap_or_default(),
        required: is("required"),
        secret: is("secret"),
        default: text("default"),
        pattern: text("pattern"),
        example: text("example").unwrap_or_default(),
    }
}

fn members(node: &Node) -> &[Member] {
    match &node.tree {
        Tree::Map(members) => members,
        Tree::Scalar(_) | Tree::List(_) | Tree::Reported => &[],
    }
}

fn member<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    members(node).iter().find(|member| &*member.key == name).map(|member| &member.value)
}

fn text_of(node: &Node, name: &str) -> Option<Box<str>> {
    member(node, name)?.scalar().map(|scalar| scalar.text.trim().into())
}

/// A connector with what its template says laid under it.
pub struct Laid<'n> {
    pub node: Cow<'n, Node>,
    /// Settings whose values are secret wherever they come from.
    pub secret: Vec<Box<str>>,
}

/// Lays the template that the connector at `node` names under it. `None`, with a note, where there is none of that name.
pub fn lay_under<'n>(ctx: &Context<'_>, node: &'n Node) -> Option<Laid<'n>> {
    let Some(named) = member(node, "template") else {
        return Some(Laid { node: Cow::Borrowed(node), secret: Vec::new() });
    };
    let ready = ctx.shown("template", named, |name| find(name).ok_or_else(|| unknown(name)))?;
    let template = ready.read();
    let empty = Node { at: named.at, tree: Tree::Map(Vec::new()) };
    check_settings(ctx, named.at, member(node, "settings").unwrap_or(&empty), &template);
    let under = placed(&template.connector, named.at);
    let under = defaults(&template, named.at).laid_over(&under);
    let secret = template.settings.iter().filter(|setting| setting.secret).map(|setting| setting.name.clone());
    let mut whole = node.laid_over(&under);
    if let Tree::Map(members) = &mut whole.tree {
        // It has been read, and says no more.
        members.retain(|member| &*member.key != "template");
    }
    Some(Laid { node: Cow::Owned(whole), secret: secret.collect() })
}

fn unknown(name: &str) -> String {
    let near = values::nearest(name, ALL.iter().map(|ready| ready.name));
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("is no ready-made connector{near} `postbackd templates` lists them")
}

fn check_settings(ctx: &Context<'_>, at: Position, given: &Node, template: &Template) {
    for setting in template.settings.iter().filter(|setting| setting.required) {
        let is_given = member(given, &setting.name).is_some_and(|node| !node.is_null());
        if !is_given {
            ctx.error(at, format!("settings: `{}` is missing: {}", setting.name, setting.description));
        }
    }
    for Member { key, key_at, value } in members(given) {
        let Some(setting) = template.settings.iter().find(|setting| setting.name == *key) else {
            let names: Vec<&str> = template.settings.iter().map(|setting| &*setting.name).collect();
            ctx.warn(
                *key_at,
                format!("settings: `{key}` is not asked for by the template; it asks for {}", names.join(", ")),
            );
            continue;
        };
        let Some(pattern) = &setting.pattern else { continue };
        let Ok(pattern) = regex::Regex::new(&format!("^(?:{pattern})$")) else { continue };
        // What comes from the environment is looked at where it is there.
        let Some(text) = ctx.text(key, value) else { continue };
        if !text.incomplete && !pattern.is_match(text.text.reveal()) {
            let shown = if setting.secret || text.replaced { "it".to_owned() } else { quoted(value) };
            ctx.error(value.at, format!("settings: {key}: {shown} does not look right: {}", setting.description));
        }
    }
}

/// A connector that says no more than the defaults of the settings; what has none is empty, as if it were not there. A required
/// one that is missing has been told of, and need not be told of again by each place that asks for it.
fn defaults(template: &Template, at: Position) -> Node {
    let settings = template.settings.iter().map(|setting| {
        let text = setting.default.clone().unwrap_or_default();
        let scalar = Scalar { text, plain: false, layout: Layout::Unknown };
        Member { key: setting.name.clone(), key_at: at, value: Node { at, tree: Tree::Scalar(scalar) } }
    });
    let settings = Node { at, tree: Tree::Map(settings.collect()) };
    Node { at, tree: Tree::Map(vec![Member { key: "settings".into(), key_at: at, value: settings }]) }
}

/// The same tree as if all of it stood at `at`: mistakes in it are those of the file that named the template.
fn placed(node: &Node, at: Position) -> Node {
    let tree = match &node.tree {
        Tree::Scalar(scalar) => Tree::Scalar(Scalar { layout: Layout::Unknown, ..scalar.clone() }),
        Tree::List(elements) => Tree::List(elements.iter().map(|element| placed(element, at)).collect()),
        Tree::Map(members) => Tree::Map(
            members
                .iter()
                .map(|member| Member { key: member.key.clone(), key_at: at, value: placed(&member.value, at) })
                .collect(),
        ),
        Tree::Reported => Tree::Reported,
    };
    Node { at, tree }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_says_who_it_is_for_and_what_it_asks() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        for ready in ALL {
            let template = ready.read();
            assert!(!template.title.is_empty() && !template.facts.is_empty(), "{}", ready.name);
            assert!(!members(&template.connector).is_empty(), "{}", ready.name);
            for setting in template.settings {
                assert!(
                    !setting.description.is_empty() && !setting.example.is_empty(),
                    "{}: {}",
                    ready.name,
                    setting.name
                );
                assert!(!(setting.required && setting.default.is_some()), "{}: {}", ready.name, setting.name);
                let asked = format!("SETTING.{}", setting.name);
                assert!(ready.source.contains(&asked), "{}: nobody asks for {asked}", ready.name);
                if let Some(pattern) = &setting.pattern {
                    let pattern = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
                    assert!(pattern.is_match(&setting.example), "{}: {}", ready.name, setting.name);
                }
            }
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let names = files.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
        assert_eq!(names.count(), ALL.len(), "a template that is not in the gallery");
    }
}
