//! The rules with the configuration of the moment, in the shape in which the store asks for them.
//!
//! Refuses: state. A reload makes another one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::model::click::Click;
use crate::model::connector::{Connector, Mode};
use crate::model::delivery::{Attribution, Delivery, Reason, Sending, State};
use crate::model::event::{Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::field::Field;
use crate::model::identifier::Identifier;
use crate::model::ids::{ConnectorName, DeliveryId, StoreTag, VisitorId};
use crate::model::time::Time;
use crate::model::visitor::Visitor;
use crate::rules::decide::{DecidedAttribution, Input, Verdict, consent, decide, is_triggered};
use crate::rules::identify::{self, Joined, person, sharing};
use crate::rules::remember::{self, Capture, Clicks};
use crate::rules::variables::{RenderContext, lookup};
use crate::rules::{condition, partial, render};
use crate::store::{Candidate, Case, Change, Planned, PlannedVerdict, Planner, Whose};

/// How long a conversion that waits for a connector which is switched off is left alone before it is looked at again.
const PARKED_LOOK: Duration = Duration::from_secs(60);

/// The rules under one configuration.
pub struct Rules {
    pub config: Arc<Config>,
    /// Which connectors an event name triggers, by their place in the configuration; `*` is not among them.
    by_event: HashMap<Box<str>, Vec<usize>>,
    /// Connectors that every track event triggers.
    every: Vec<usize>,
    /// Query parameters that are clicks, besides the standard ones.
    params: HashSet<Box<str>>,
    /// The same in lower case, for connectors that ignore case.
    params_any_case: HashSet<Box<str>>,
    /// Parameters whose values stand for one click each.
    unique: HashSet<Box<str>>,
}

impl Rules {
    /// Indexes the connectors by what triggers them, so that an event which nobody wants costs nothing.
    pub fn new(config: Arc<Config>) -> Self {
        let mut rules = Self {
            by_event: HashMap::new(),
            every: Vec::new(),
            params: config.click_params.iter().cloned().collect(),
            params_any_case: HashSet::new(),
            unique: HashSet::new(),
            config,
        };
        for (place, connector) in rules.config.connectors.iter().enumerate() {
            match &connector.triggers {
                crate::model::connector::Triggers::Every => rules.every.push(place),
                crate::model::connector::Triggers::Named(names) => {
                    for name in names {
                        rules.by_event.entry(name.clone()).or_default().push(place);
                    }
                }
            }
            let Some(matching) = &connector.click_matching else { continue };
            for param in &matching.params {
                if matching.ignore_case {
                    rules.params_any_case.insert(param.to_lowercase().into());
                } else {
                    rules.params.insert(param.clone());
                }
                if matching.unique {
                    rules.unique.insert(param.to_lowercase().into());
                }
            }
        }
        rules
    }

    fn is_unique(&self, param: &str) -> bool {
        !self.unique.is_empty() && self.unique.contains(&*param.to_lowercase())
    }

    fn is_click(&self, param: &str) -> bool {
        self.params.contains(param)
            || (!self.params_any_case.is_empty() && self.params_any_case.contains(&*param.to_lowercase()))
    }

    /// Makes an event ready for admission: what can be found out without the store.
    pub fn candidate(&self, mut event: Event) -> Candidate {
        // More can come only under a name and an id that the sender gave.
        let can_go_on = event.name.is_some() && matches!(event.id, EventId::Given(_));
        event.is_partial &= can_go_on && !self.config.partial_timeout.is_zero();
        let clicks = remember::clicks_of(&event, Capture { params: &|param| self.is_click(param) });
        let country = self.country(&event.container);
        let ignore = &self.config.matching.ignore;
        let identifiers = identify::identifiers(&event, country, &|param| self.is_unique(param), ignore, &clicks);
        Candidate { event: Arc::new(event), identifiers, clicks }
    }

    /// The country by which a container's national phone numbers are read.
    fn country(&self, container: &str) -> Option<&str> {
        self.config.container(container)?.country.as_deref()
    }

    fn clicks_of<'a>(&self, visitor: &'a Visitor) -> Clicks<'a> {
        Clicks::of(visitor, &|param| self.is_unique(param), self.config.session_timeout)
    }

    fn known_of(&self, visitor: &Visitor, clicks: &Clicks<'_>, event: &Event) -> Known {
        let known = remember::known(visitor, clicks, event, self.config.retention.clicks);
        Known { container_country: self.country(&event.container).map(Into::into), ..known }
    }

    fn triggered<'a>(&'a self, event: &'a Event) -> impl Iterator<Item = &'a Arc<Connector>> {
        let named = event.name.as_deref().and_then(|name| self.by_event.get(name));
        let places = named.map_or(&[][..], Vec::as_slice).iter().chain(&self.every);
        places.map(|place| &self.config.connectors[*place]).filter(|connector| is_triggered(connector, event))
    }

    fn decide_one(&self, connector: &Connector, clicks: &Clicks<'_>, case: &Case<'_>, facts: &mut Facts) -> Planned {
        let event = facts.event.clone();
        let asked =
            |attribution: Option<&DecidedAttribution>| Asked::new(connector, clicks, attribution, facts, case.now);
        let mut claimed_value: Option<Box<str>> = None;
        let decided = {
            let condition = |attribution: Option<&DecidedAttribution>| {
                let asked = asked(attribution);
                connector.when.iter().all(|condition| condition::holds(condition, &asked.context()))
            };
            let dedup_taken = |attribution: Option<&DecidedAttribution>| {
                let value = dedup_value(connector, &asked(attribution));
                value.is_some_and(|value| (case.claimed)(&connector.name, &value))
            };
            decide(&Input {
                connector,
                event: &event,
                clicks,
                consent: consent(&event, case.visitor),
                now: case.now,
                condition: &condition,
                dedup_taken: &dedup_taken,
            })
        };
        if matches!(decided.verdict, Verdict::Send { sending } if sending != Sending::Dry) {
            claimed_value = dedup_value(connector, &asked(decided.attribution.as_ref()));
        }
        let verdict = match decided.verdict {
            Verdict::Skip(reason) => PlannedVerdict::Skip(reason),
            Verdict::Wait { until, reason } => PlannedVerdict::Wait { until, reason },
            Verdict::Send { sending } => {
                let by_item = connector.postback.for_each_item;
                let deliveries = if by_item { u32::try_from(event.items.len()).unwrap_or(u32::MAX) } else { 1 };
                let claim = claimed_value.zip(connector.deduplicate.as_ref().map(|d| d.keep));
                PlannedVerdict::Send { sending, claim, deliveries, by_item }
            }
        };
        let sends = matches!(verdict, PlannedVerdict::Send { .. });
        let attribution = decided.attribution.map(|found| attribution(found, clicks, sends, facts));
        let planned = Planned {
            connector: connector.name.clone(),
            revision: connector.revision.clone(),
            verdict,
            attribution,
            detail: None,
        };
        rendered(connector, planned, facts, case.now)
    }
}

/// The attribution as it is stored; a click that is sent with goes among the facts' clicks.
fn attribution(found: DecidedAttribution, clicks: &Clicks<'_>, keep: bool, facts: &mut Facts) -> Attribution {
    let click = found.click.filter(|_| keep).map(|at| keep_click(&mut facts.clicks, &clicks[at]));
    Attribution {
        click,
        model: found.model,
        window: found.window,
        click_count: found.click_count,
        why: found.why.into_owned().into(),
    }
}

fn keep_click(kept: &mut Vec<Click>, click: &Click) -> usize {
    kept.iter().position(|known| known == click).unwrap_or_else(|| {
        kept.push(click.clone());
        kept.len() - 1
    })
}

/// A decision to send that can't be rendered is a skip, so that its reason is known at once. A postback for each item is
/// rendered by its lane alone: one item at fault must not stop the others.
fn rendered(connector: &Connector, planned: Planned, facts: &Facts, now: Time) -> Planned {
    let PlannedVerdict::Send { sending, by_item: false, .. } = planned.verdict else { return planned };
    let delivery = tentative(connector, facts, sending, planned.attribution.clone(), now);
    let context =
        RenderContext { connector, facts, delivery: &delivery, item: None, attempt: 1, is_repeat: false, now };
    match render::render(&connector.postback, &context) {
        Ok(_) => planned,
        Err(refusal) => {
            Planned { verdict: PlannedVerdict::Skip(refusal.reason), detail: Some(refusal.detail.into()), ..planned }
        }
    }
}

/// A delivery that is not one yet: enough to render with.
pub(super) fn tentative(
    connector: &Connector,
    facts: &Facts,
    sending: Sending,
    attribution: Option<Attribution>,
    now: Time,
) -> Delivery {
    Delivery {
        id: DeliveryId::new(StoreTag::new(0), facts.seq, 0),
        connector: connector.name.clone(),
        revision: connector.revision.clone(),
        sending,
        state: State::Pending,
        reason: None,
        detail: None,
        attribution,
        item: None,
        due: now,
    }
}

/// What a condition or a deduplication value is looked up in: the facts with the click that was found.
struct Asked<'a> {
    connector: &'a Connector,
    facts: Facts,
    delivery: Delivery,
    now: Time,
}

impl<'a> Asked<'a> {
    fn new(
        connector: &'a Connector,
        clicks: &Clicks<'_>,
        found: Option<&DecidedAttribution>,
        facts: &Facts,
        now: Time,
    ) -> Self {
        let mut facts = facts.clone();
        let attribution = found.map(|found| attribution(found.clone(), clicks, true, &mut facts));
        let delivery = tentative(connector, &facts, Sending::Live, attribution, now);
        Self { connector, facts, delivery, now }
    }

    fn context(&self) -> RenderContext<'_> {
        RenderContext {
            connector: self.connector,
            facts: &self.facts,
            delivery: &self.delivery,
            item: self.delivery.item,
            attempt: 1,
            is_repeat: false,
            now: self.now,
        }
    }
}

/// The value by which this conversion is told from others, if the connector asks for one and it is not blank.
fn dedup_value(connector: &Connector, asked: &Asked<'_>) -> Option<Box<str>> {
    let by = &connector.deduplicate.as_ref()?.by;
    let value = lookup(by, &asked.context())?.text();
    let value = value.trim();
    (!value.is_empty()).then(|| value.into())
}

impl Planner for Rules {
    fn whose(
        &self,
        event: &Event,
        hits: &[(&Identifier, Option<VisitorId>)],
        visitor: &dyn Fn(VisitorId) -> Option<Arc<Visitor>>,
    ) -> Whose {
        let priority = |id| visitor(id)?.fact(Field::PriorityExternalId).map(|fact| fact.value.to_string());
        let leads = |identifier: &Identifier, id| !visitor(id).is_some_and(|v| sharing::is_shared(&v, identifier));
        let hits: Vec<_> = hits.iter().map(|(i, hit)| (*i, hit.filter(|id| leads(i, *id)))).collect();
        match identify::join(&hits, &priority, event.texts.of(Field::PriorityExternalId)) {
            Joined::Nobody => Whose::Nobody,
            Joined::Visitor { id, by, merge } => Whose::Visitor { id, by, merge },
        }
    }

    fn by_time(&self, candidate: &Candidate) -> Option<Duration> {
        let within = self.config.matching.by_time?;
        identify::is_anonymous(&candidate.event, &candidate.identifiers).then_some(within)
    }

    fn joins_by_time(&self) -> bool {
        self.config.matching.by_time.is_some()
    }

    fn remember(&self, visitor: &mut Visitor, candidate: &Candidate) -> Change {
        let Candidate { event, identifiers, clicks } = candidate;
        let unique = |param: &str| self.is_unique(param);
        let learned = remember::remember(visitor, event, clicks, &unique, self.config.session_timeout);
        let shared = sharing::note(visitor, identifiers, self.config.matching.sessions_max);
        Change {
            gained_click: learned.gained_click,
            changed: learned.changed || shared,
            stretched_only: learned.stretched_only && !shared,
        }
    }

    fn merge(&self, into: &mut Visitor, from: Visitor) -> bool {
        sharing::unite(&mut into.sharings, &from.sharings, self.config.matching.sessions_max);
        remember::merge(into, from, &|param| self.is_unique(param), self.config.session_timeout)
    }

    fn known(&self, visitor: &Visitor, event: &Event) -> Known {
        self.known_of(visitor, &self.clicks_of(visitor), event)
    }

    fn merged(&self, parts: Vec<Event>) -> Option<Candidate> {
        partial::merge(parts).map(|event| self.candidate(event))
    }

    fn hold(&self, event: &Event, now: Time) -> Vec<Planned> {
        let held = PlannedVerdict::Wait { until: now.plus(self.config.partial_timeout), reason: None };
        let plan = |connector: &Arc<Connector>| Planned {
            connector: connector.name.clone(),
            revision: connector.revision.clone(),
            verdict: match connector.mode != Mode::Disabled && connector.postback_enabled {
                true => held.clone(),
                false => PlannedVerdict::Skip(Reason::Disabled),
            },
            attribution: None,
            detail: None,
        };
        self.triggered(event).map(plan).collect()
    }

    fn named(&self, event: &Event, known: &[&Known]) -> Vec<Identifier> {
        person::named(event, known, self.country(&event.container))
    }

    fn forget(&self, visitor: &mut Visitor, is_erased: &dyn Fn(&Identifier) -> bool) -> bool {
        let country = self.country(&visitor.container);
        person::forget(visitor, is_erased, country)
    }

    fn wants(&self, event: &Event) -> bool {
        self.triggered(event).next().is_some()
    }

    fn decide(&self, case: &Case<'_>, facts: &mut Facts) -> Vec<Planned> {
        let clicks = self.clicks_of(case.visitor);
        let event = facts.event.clone();
        facts.known = self.known_of(case.visitor, &clicks, &event);
        self.triggered(&event).map(|connector| self.decide_one(connector, &clicks, case, facts)).collect()
    }

    fn decide_again(&self, connector: &ConnectorName, case: &Case<'_>, facts: &mut Facts) -> Option<Planned> {
        let connector = self.config.connector(connector)?;
        let clicks = self.clicks_of(case.visitor);
        facts.known = self.known_of(case.visitor, &clicks, &facts.event);
        if connector.mode != Mode::Disabled && connector.postback_enabled {
            return Some(self.decide_one(connector, &clicks, case, facts));
        }
        // What waits for a connector that is switched off goes on waiting, and is decided once it is on again.
        let on = Connector { mode: Mode::Enabled, postback_enabled: true, ..(**connector).clone() };
        let planned = self.decide_one(&on, &clicks, case, facts);
        facts.clicks.clear();
        let (until, reason) = match planned.verdict {
            PlannedVerdict::Wait { until, reason } => (until, reason),
            PlannedVerdict::Skip(reason) => (case.now, Some(reason).filter(|r: &Reason| r.is_click_reason())),
            PlannedVerdict::Send { .. } => (case.now, None),
        };
        let until = until.max(case.now.plus(PARKED_LOOK));
        Some(Planned { verdict: PlannedVerdict::Wait { until, reason }, ..planned })
    }
}

/// Decides for one connector alone, whatever its mode, conditions and attribution say: for a postback on demand.
pub struct OnDemand {
    pub rules: Arc<Rules>,
    pub connector: Arc<Connector>,
    pub sending: Sending,
}

impl Planner for OnDemand {
    fn whose(
        &self,
        _: &Event,
        _: &[(&Identifier, Option<VisitorId>)],
        _: &dyn Fn(VisitorId) -> Option<Arc<Visitor>>,
    ) -> Whose {
        Whose::Nobody
    }

    fn remember(&self, visitor: &mut Visitor, candidate: &Candidate) -> Change {
        self.rules.remember(visitor, candidate)
    }

    fn merge(&self, _: &mut Visitor, _: Visitor) -> bool {
        false
    }

    fn known(&self, visitor: &Visitor, event: &Event) -> Known {
        self.rules.known(visitor, event)
    }

    fn merged(&self, parts: Vec<Event>) -> Option<Candidate> {
        self.rules.merged(parts)
    }

    fn hold(&self, _: &Event, _: Time) -> Vec<Planned> {
        Vec::new()
    }

    fn named(&self, event: &Event, known: &[&Known]) -> Vec<Identifier> {
        self.rules.named(event, known)
    }

    fn forget(&self, visitor: &mut Visitor, is_erased: &dyn Fn(&Identifier) -> bool) -> bool {
        self.rules.forget(visitor, is_erased)
    }

    fn happened(&self) -> bool {
        false
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    fn decide(&self, case: &Case<'_>, facts: &mut Facts) -> Vec<Planned> {
        let connector = &self.connector;
        let clicks = self.rules.clicks_of(case.visitor);
        facts.known = self.rules.known_of(case.visitor, &clicks, &facts.event);
        let found = connector.click_matching.as_ref().map(|matching| {
            let own = clicks.iter().rposition(|click| matching.is_param(&click.param));
            Attribution {
                click: own.map(|at| keep_click(&mut facts.clicks, &clicks[at])),
                model: matching.model,
                window: matching.window,
                click_count: usize::from(own.is_some()),
                why: "a postback on demand: the click of the event's own URL counts as chosen".into(),
            }
        });
        let by_item = connector.postback.for_each_item && !facts.event.items.is_empty();
        let deliveries = if by_item { u32::try_from(facts.event.items.len()).unwrap_or(u32::MAX) } else { 1 };
        vec![Planned {
            connector: connector.name.clone(),
            revision: connector.revision.clone(),
            verdict: PlannedVerdict::Send { sending: self.sending, claim: None, deliveries, by_item },
            attribution: found,
            detail: None,
        }]
    }

    fn decide_again(&self, _: &ConnectorName, _: &Case<'_>, _: &mut Facts) -> Option<Planned> {
        None
    }
}
