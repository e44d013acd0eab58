//! What would be decided about an event, and why.
//!
//! Refuses: the store. An explanation rests on the history that comes with it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;

use super::answer::{self, Answer, FieldProblem, Refusal};
use super::asked::{self, Asked};
use super::shapes::Explanation;
use super::{Room, now, submitted};
use crate::json;
use crate::pipeline;

pub async fn explain(State(room): State<Arc<Room>>, request: Request) -> Answer {
    let text = asked::body(request).await?;
    let config = room.desk.config.load_full();
    let mut asked = Asked::body(&text)?;
    let event = asked.json("event");
    let history = asked.json("history").unwrap_or("[]");
    let connector = asked.text("connector");
    asked.done()?;
    let Some(event) = event else {
        return Err(Refusal::fields(vec![FieldProblem::new("event", "is missing; give it as a JSON object")]));
    };
    if let Some(name) = &connector
        && config.connector(name).is_none()
    {
        return Err(Refusal::not_found(format!("there is no connector {name:?} in the configuration")));
    }
    let at = now();
    let event = submitted::as_it_happened(event, &config, None, at).map_err(|problems| named("event", problems))?;
    let mut past = Vec::new();
    let elements = json::elements(history)
        .map_err(|_| Refusal::fields(vec![FieldProblem::new("history", "is no JSON array of events")]))?;
    for (place, element) in elements.iter().enumerate() {
        let read = submitted::as_it_happened(element.get(), &config, Some(&event.container), at);
        past.push(read.map_err(|problems| named(&format!("history[{place}]"), problems))?);
    }
    let _turn =
        Arc::clone(&room.explaining).acquire_owned().await.map_err(|_| Refusal::busy("the daemon is stopping"))?;
    let explained = tokio::task::spawn_blocking(move || pipeline::explain::explain(config, past, event))
        .await
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "deciding about this event failed"))?
        .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let shown: Vec<_> = explained
        .iter()
        .filter(|e| connector.as_deref().is_none_or(|name| *e.connector == *name))
        .map(Explanation::from)
        .collect();
    answer::items(&shown)
}

/// The problems of an event that stands under `member`.
pub fn named(member: &str, problems: Vec<FieldProblem>) -> Refusal {
    let under = |field: String| if field.is_empty() { member.to_owned() } else { format!("{member}.{field}") };
    Refusal::fields(problems.into_iter().map(|p| FieldProblem::new(under(p.field), p.problem)).collect())
}
