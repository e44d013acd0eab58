//! One postback on demand.
//!
//! Refuses: sending unless told to.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;

use super::answer::{self, Answer, Refusal};
use super::asked::{self, Asked};
use super::explain::named;
use super::shapes::TestShown;
use super::{Room, TestError, now, sample, submitted};
use crate::telemetry::events;

pub async fn test(
    State(room): State<Arc<Room>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let name = answer::path(name)?;
    let text = asked::body(request).await?;
    let config = room.desk.config.load_full();
    let mut asked = Asked::body(&text)?;
    let event = asked.json("event");
    let send = asked.flag("send");
    asked.done()?;
    let Some(connector) = config.connector(&name) else {
        return Err(Refusal::not_found(format!("there is no connector {name:?} in the configuration")));
    };
    let event = match event {
        Some(text) => submitted::event(text, &config, sample::container(connector, &config), now()),
        None => sample::event(connector, &config, now()),
    };
    let event = event.map_err(|problems| named("event", problems))?;
    events::test_asked(&connector.name, send);
    match room.desk.tester.test(&connector.name, event, send).await {
        Ok(tested) => answer::ok(&TestShown::from(&tested)),
        Err(TestError::Refused(why)) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why)),
        Err(TestError::Failed(why)) => Err(Refusal::busy(why)),
    }
}
