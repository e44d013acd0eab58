//! Erasing a person.
//!
//! Refuses: telling who it was. The answer and the log count, and name the container alone.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::answer::{self, Answer, FieldProblem, Refusal};
use super::asked::{self, Asked};
use super::shapes::ErasedShown;
use super::{Room, now};
use crate::config::Config;
use crate::model::delivery::State as DeliveryState;
use crate::pipeline::Rules;
use crate::pipeline::erase::{self, By};
use crate::store::{Erased, StoreError};
use crate::telemetry::events;

pub(super) async fn erase(State(room): State<Arc<Room>>, request: Request) -> Answer {
    let text = asked::body(request).await?;
    let mut asked = Asked::body(&text)?;
    let container = asked.text("container");
    let named: Vec<(By, String)> = By::ALL.into_iter().filter_map(|by| Some((by, asked.text(by.word())?))).collect();
    asked.done()?;
    let (Some(container), [(by, value)]) = (container, &*named) else {
        let problem = "is missing; send `container` and one of email, phone, external_id, session_id";
        return Err(Refusal::fields(vec![FieldProblem::new("", problem)]));
    };
    let config = room.desk.config.load_full();
    let who = erase::asked(&config, &container, *by, value)
        .map_err(|(field, problem)| Refusal::fields(vec![FieldProblem::new(field, problem)]))?;
    // A caller who goes away does not end it.
    let work = tokio::spawn(work(room, config, who)).await;
    let erased = work.unwrap_or_else(|e| Err(StoreError::Failed(e.to_string())));
    let Some(erased) = erased.map_err(|e| Refusal::store("erase", &e))? else {
        return Err(Refusal::not_found("nobody is known by this; nothing was erased"));
    };
    answer::ok(&ErasedShown::from(&erased))
}

async fn work(room: Arc<Room>, config: Arc<Config>, who: erase::Asked) -> Result<Option<Erased>, StoreError> {
    // Its key is a credential.
    let container = config.container(&who.container).map_or_else(Box::default, |container| container.name.clone());
    let rules = Arc::new(Rules::new(config));
    let erased = room.desk.store.erase(who.container, who.identifiers, rules, now(), who.keep_keys_for).await?;
    if let Some(erased) = &erased {
        for connector in &erased.cancelled {
            room.desk.metrics.final_state(connector, DeliveryState::Cancelled);
        }
        events::person_erased(&container, erased.visitors, erased.events, erased.deliveries);
    }
    Ok(erased)
}
